"""Each of the nine invariants broken by hand: which it is, what the audit says, and how it is done."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ledger import idempotency, jobs, priors, projects, subjects, uploads
from ledger.artefacts import Artefact, NewArtefact, record
from ledger.attempts import Claim
from ledger.edits import Edit
from ledger.erasures import Erasure
from ledger.events import Event
from ledger.idempotency import Answer
from ledger.images import Image
from ledger.jobs import Job
from ledger.priors import Prior
from ledger.storage import Storage, attempt_prefix
from ledger.subjects import Reference, Subject
from ledger.webhooks import Delivery, Endpoint
from tests.support.rows import make_image
from tests.support.sample_project import Journey, show

HOUR = timedelta(hours=1)
Plant = Callable[[Session, Storage, Journey], object]


def changed(job: str, **values: Any) -> Plant:
    """The job of that name in the journey, with other values."""
    return lambda session, storage, journey: session.execute(
        update(Job).where(Job.id == getattr(journey, job)).values(values)
    )


def moved(session: Session, storage: Storage, journey: Journey) -> None:
    """An artefact that an older attempt wrote."""
    image = files(session, journey.edited)[0]
    prefix = attempt_prefix(image.project_id, journey.edited, 1)
    image.key = storage.put(prefix, "image", b"image", "image/png").key


def early(session: Session, storage: Storage, journey: Journey) -> None:
    job = session.get_one(Job, journey.failed)
    stored = storage.put(attempt_prefix(job.project_id, job.id, job.epoch), "image", b"image", "image/png")
    record(session, job.project_id, job.id, [NewArtefact("image", "image", "image/png", stored)])


def spoilt(content: bytes) -> Plant:
    """Other bytes under an artefact's key."""
    return lambda session, storage, journey: storage._client.put_object(
        Bucket=storage.settings.s3_bucket, Key=files(session, journey.learnt)[0].key, Body=content
    )


def shown(epoch: int, *, is_lost: bool = False) -> Plant:
    """The running job shows a preview that this attempt stored."""

    def plant(session: Session, storage: Storage, journey: Journey) -> None:
        job = session.get_one(Job, journey.running)
        show(session, storage, Claim(job.id, job.project_id, "prior", job.epoch, 1, 0.0), epoch, is_lost=is_lost)

    return plant


def outlived(session: Session, storage: Storage, journey: Journey) -> None:
    """A failed job shows what a running one does."""
    session.get_one(Job, journey.failed).progress = session.get_one(Job, journey.running).progress


def repeated(session: Session, storage: Storage, journey: Journey) -> None:
    job = session.get_one(Job, journey.edited)
    jobs.submit(
        session, job.project_id, "edit", subject_id=job.subject_id, prior_id=job.prior_id, edit_id=job.edit_id,
        parameters=job.parameters,
    )  # fmt: skip


def one_key(session: Session, storage: Storage, journey: Journey) -> None:
    ids = [journey.canceled, journey.waiting]
    session.execute(update(Job).where(Job.id.in_(ids)).values(idempotency_key="key"))


def answered(status: int, job: str) -> Plant:
    """A stored answer that names the job."""

    def plant(session: Session, storage: Storage, journey: Journey) -> None:
        project = session.get_one(Subject, journey.subject).project_id
        body = {"id": getattr(journey, job, job)}
        idempotency.remember(session, project, "key", b"request", Answer(status, body))

    return plant


def risen(session: Session, storage: Storage, journey: Journey) -> None:
    """An erased subject, back from an old backup."""
    rex = session.get_one(Subject, journey.subject)
    images = [make_image(session, rex.project_id)]
    subject = subjects.create(session, rex.project_id, name="Gone", class_noun="dog", token="gne", images=images)
    session.execute(update(Reference).where(Reference.subject_id == subject.id).values(subject_id=rex.id, position=9))
    session.execute(update(Subject).where(Subject.id == subject.id).values(id=journey.erased))


def foreign_prior(session: Session, storage: Storage, journey: Journey) -> None:
    other = projects.create(session, "other")
    images = [make_image(session, other.id)]
    subject = subjects.create(session, other.id, name="Kit", class_noun="cat", token="kit", images=images)
    prior = priors.create(session, other.id, subject.id)
    session.execute(update(Edit).values(prior_id=prior.id))


def foreign(table: Any, *which: Any) -> Plant:
    """Rows that belong to another project of a sudden."""

    def plant(session: Session, storage: Storage, journey: Journey) -> None:
        session.execute(update(table).where(*which).values(project_id=projects.create(session, "other").id))

    return plant


def files(session: Session, job_id: str) -> list[Artefact]:
    return list(session.scalars(select(Artefact).where(Artefact.job_id == job_id).order_by(Artefact.position)))


LONG_AGO = func.clock_timestamp() - HOUR
PLANTS: dict[str, tuple[set[int], str, Plant]] = {
    "an answer without its job": ({1}, "job_gone, which does not exist", answered(202, "job_gone")),
    "a lease that ran out": ({1}, "and nobody reaps it", changed("running", lease_until=LONG_AGO)),
    "no lease": ({1}, "its lease is missing", changed("running", lease_until=None)),
    "a job nobody rings for": ({1}, "nobody has rung for it", changed("retried", rung_at=LONG_AGO)),
    "an epoch without a claim": ({2}, "was claimed 1 times, but its epoch is 2", changed("failed", epoch=2)),
    "two attempts at once": (
        {2},
        "went from running to running",
        lambda s, _, j: s.execute(
            update(Event).where(Event.job_id == j.failed, Event.sequence == 1).values(data={"status": "running"})
        ),
    ),
    "an older attempt's artefact": ({2}, "is not its attempt 2's", moved),
    "an end without its event": (
        {3},
        "is failed, but has no terminal event",
        lambda s, _, j: s.execute(delete(Event).where(Event.job_id == j.failed, Event.terminal)),
    ),
    "another end than its event": (
        {3},
        "is canceled, but its terminal event is prior.failed",
        changed("failed", state="canceled"),
    ),
    "running after its end": (
        {3},
        "is running after its terminal event prior.failed",
        lambda s, _, j: [
            s.execute(delete(Job).where(Job.id == j.retried)),
            s.execute(
                update(Job).where(Job.id == j.failed).values(state="running", lease_until=func.clock_timestamp() + HOUR)
            ),
        ],
    ),
    "an event after the end": (
        {3},
        "has the event prior.queued after its terminal one",
        lambda s, _, j: s.add(
            Event(
                project_id=s.get_one(Job, j.failed).project_id,
                job_id=j.failed,
                sequence=99,
                type="prior.queued",
                data={"status": "queued"},
                terminal=False,
            )
        ),
    ),
    "progress after the end": ({3}, "went on to event number 9", changed("failed", sequence=9)),
    "no time of the end": ({3}, "has no time of its end", changed("failed", finished_at=None)),
    "a lease after the end": ({3}, "is still leased to worker-1", changed("failed", lease_until=LONG_AGO)),
    "an artefact before a success": ({4}, "is reachable, though its job", early),
    "a success without its manifest": (
        {4},
        "0 of 1 artefacts of the role manifest",
        lambda s, _, j: s.delete(files(s, j.learnt)[1]),
    ),
    "a success without a picture": (
        {4},
        "1 of 2 artefacts of the role image",
        lambda s, _, j: s.delete(files(s, j.edited)[1]),
    ),
    "a prior that is not ready": (
        {4},
        "is not ready, though its job succeeded",
        lambda s, _, j: s.execute(update(Prior).values(ready_at=None)),
    ),
    "a prior with another adapter": (
        {4},
        "its adapter is no artefact",
        lambda s, _, j: s.execute(update(Prior).where(Prior.ready_at.is_not(None)).values(adapter_sha256="0" * 64)),
    ),
    "a lost object": ({4}, "has no object", lambda s, storage, j: storage.delete(files(s, j.learnt)[0].key)),
    "a longer object": ({4}, "should have 7 bytes", spoilt(b"adapters")),
    "a spoilt object": ({4}, "should have the SHA-256", spoilt(b"ADAPTER")),
    "an older attempt's preview": ({2}, "shows a preview that is not its attempt 1's", shown(0)),
    "a lost preview": ({4}, "has no object", shown(1, is_lost=True)),
    "a preview after the end": ({4}, "is failed, but still shows the preview", outlived),
    "no delivery to the request's URL": (
        {5},
        "asked for webhooks, but has no delivery of prior.succeeded",
        lambda s, _, j: s.execute(delete(Delivery).where(Delivery.job_id == j.learnt, Delivery.endpoint_id.is_(None))),
    ),
    "no delivery to the endpoint": (
        {5},
        "has no delivery of edit.succeeded",
        lambda s, _, j: s.execute(
            delete(Delivery).where(Delivery.job_id == j.edited, Delivery.endpoint_id == j.endpoint)
        ),
    ),
    "no delivery to an endpoint of that event": (
        {5},
        "has no delivery of prior.failed",
        lambda s, _, j: [
            s.execute(update(Endpoint).values(events=["prior.failed"])),
            s.execute(delete(Delivery).where(Delivery.endpoint_id == j.endpoint)),
        ],
    ),
    "a webhook nobody sends": (
        {5},
        "and nobody makes it",
        lambda s, _, j: s.execute(
            update(Delivery).where(Delivery.job_id == j.failed).values(state="pending", next_attempt_at=LONG_AGO)
        ),
    ),
    "a webhook counted too early": (
        {5},
        "though 500 was answered",
        lambda s, _, j: s.execute(update(Delivery).where(Delivery.job_id == j.failed).values(last_status=500)),
    ),
    "two jobs under one key": ({6}, "came under the idempotency key key", one_key),
    "the same work twice": ({6}, "or was still doing", repeated),
    "a retry of a running job": (
        {6},
        "or was still doing",
        changed("failed", finished_at=func.clock_timestamp()),
    ),
    "success after a cancel": ({7}, "after its cancel was accepted", changed("learnt", cancel_requested_at=LONG_AGO)),
    "a cancelled job that waits": ({7}, "still waits", changed("waiting", cancel_requested_at=LONG_AGO)),
    "a cancelled job that runs": ({7}, "worker-1 still runs it", changed("running", cancel_requested_at=LONG_AGO)),
    "an erased subject's row": ({8}, "was erased, but subjects still has", risen),
    "an erased subject's answer": ({8}, "the answer to the idempotency key key names it", answered(201, "erased")),
    "an erased subject's object": (
        {8},
        "is still there",
        lambda s, storage, j: storage.put(s.scalars(select(Erasure)).one().prefixes[0], "late", b"late", "image/png"),
    ),
    "an erasure nobody finishes": (
        {8},
        "nobody deletes its objects",
        lambda s, _, j: s.execute(update(Erasure).values(finished_at=None, created_at=LONG_AGO)),
    ),
    "an upload nobody forgets": (
        {8},
        "nobody deletes its file",
        lambda s, _, j: uploads.create(
            s, s.get_one(Subject, j.subject).project_id, content_type="image/png", size=1, seconds=-3600
        ),
    ),
    "another project's prior": ({9}, "which belongs to another project", foreign_prior),
    "another project's reference": ({9}, "which belongs to another project", foreign(Image)),
    "another project's answer": ({9}, "names jobs", foreign(idempotency.Request)),
    "another project's event": ({9}, "names jobs", foreign(Event)),
    "another project's object": ({9}, "names the object projects/", foreign(Artefact)),
}
