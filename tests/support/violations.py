"""Violations of each of the eleven invariants: the invariant, a part of the audit's message, and how to cause it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from ledger import consents, decisions, idempotency, images, jobs, priors, projects, subjects, uploads
from ledger.artefacts import NewArtefact, record
from ledger.attempts import Claim
from ledger.consents import Receipt
from ledger.decisions import NewDecision
from ledger.idempotency import Answer
from ledger.models import (
    Artefact,
    Consent,
    Delivery,
    Edit,
    Erasure,
    Event,
    IdempotentRequest,
    Image,
    Job,
    Lease,
    Prior,
    Reference,
    Subject,
    WebhookEndpoint,
    new_id,
)
from ledger.storage import Storage, attempt_prefix, image_prefix
from tests.support.sample_project import SampleProject, show_preview

HOUR = timedelta(hours=1)
Cause = Callable[[Session, Storage, SampleProject], object]


def changed(job: str, **values: Any) -> Cause:
    """Change columns of the sample's job of that name."""
    return lambda session, storage, sample: session.execute(
        update(Job).where(Job.id == getattr(sample, job)).values(values)
    )


def leased(job: str, **values: Any) -> Cause:
    """Change columns of the lease of the sample's job of that name."""
    return lambda session, storage, sample: session.execute(
        update(Lease).where(Lease.job_id == getattr(sample, job)).values(values)
    )


def artefact_of(job: str, epoch: int) -> Cause:
    """Replace the last artefact of the sample's job of that name by one that the attempt `epoch` stored."""

    def move(session: Session, storage: Storage, sample: SampleProject) -> None:
        artefact = files(session, getattr(sample, job))[-1]
        prefix = attempt_prefix(artefact.project_id, artefact.job_id, epoch)
        artefact.key = storage.put(prefix, "image", storage.get(artefact.key, artefact.sha256), "image/png").key

    return move


def record_early(session: Session, storage: Storage, sample: SampleProject) -> None:
    """Record an artefact of a failed job."""
    job = session.get_one(Job, sample.failed)
    stored = storage.put(attempt_prefix(job.project_id, job.id, job.epoch), "image", b"image", "image/png")
    record(session, job.project_id, job.id, [NewArtefact("image", "image", "image/png", stored)])


def overwritten(content: bytes) -> Cause:
    """Overwrite an artefact's object."""
    return lambda session, storage, sample: storage._client.put_object(
        Bucket=storage.settings.s3_bucket, Key=files(session, sample.learned)[0].key, Body=content
    )


def shows(epoch: int, *, is_lost: bool = False) -> Cause:
    """Let the running job show a preview that the attempt `epoch` stored."""

    def cause(session: Session, storage: Storage, sample: SampleProject) -> None:
        job = session.get_one(Job, sample.running)
        show_preview(
            session, storage, Claim(job.id, job.project_id, "prior", job.epoch, 1, 0.0), epoch, is_lost=is_lost
        )

    return cause


def keep_preview(session: Session, storage: Storage, sample: SampleProject) -> None:
    """Let a failed job show the preview of a running one."""
    session.get_one(Job, sample.failed).progress = session.get_one(Job, sample.running).latest_progress[1]


def repeat(session: Session, storage: Storage, sample: SampleProject) -> None:
    """Submit a job for an edit that has succeeded."""
    job = session.get_one(Job, sample.edited)
    jobs.submit(
        session, job.project_id, "edit", subject_id=job.subject_id, prior_id=job.prior_id, edit_id=job.edit_id,
        parameters=job.parameters,
    )  # fmt: skip


def share_key(session: Session, storage: Storage, sample: SampleProject) -> None:
    """Give two jobs the same idempotency key."""
    ids = [sample.canceled, sample.waiting]
    session.execute(update(Job).where(Job.id.in_(ids)).values(idempotency_key="key"))


def stores_answer(status: int, job: str) -> Cause:
    """Store an answer that names the job."""

    def cause(session: Session, storage: Storage, sample: SampleProject) -> None:
        project = session.get_one(Subject, sample.subject).project_id
        body = {"id": getattr(sample, job, job)}
        idempotency.remember(session, project, "key", b"request", Answer(status, body))

    return cause


def restore_subject(session: Session, storage: Storage, sample: SampleProject) -> None:
    """Restore the row of an erased subject, as an old backup would."""
    rex = session.get_one(Subject, sample.subject)
    rows = [put_image(session, storage, rex.project_id)]
    subject = subjects.create(session, rex.project_id, name="Gone", class_noun="dog", token="gne", images=rows)
    session.execute(update(Reference).where(Reference.subject_id == subject.id).values(subject_id=rex.id, position=9))
    session.execute(update(Subject).where(Subject.id == subject.id).values(id=sample.erased))


def use_foreign_prior(session: Session, storage: Storage, sample: SampleProject) -> None:
    """Let an edit refer to another project's prior."""
    other = projects.create(session, "other")
    rows = [put_image(session, storage, other.id)]
    subject = subjects.create(session, other.id, name="Kit", class_noun="cat", token="kit", images=rows)
    prior = priors.create(session, other.id, subject.id)
    session.execute(update(Edit).values(prior_id=prior.id))


def moved_to_other(table: Any, *which: Any) -> Cause:
    """Move rows to another project."""

    def cause(session: Session, storage: Storage, sample: SampleProject) -> None:
        session.execute(update(table).where(*which).values(project_id=projects.create(session, "other").id))

    return cause


def files(session: Session, job_id: str) -> list[Artefact]:
    return list(session.scalars(select(Artefact).where(Artefact.job_id == job_id).order_by(Artefact.position)))


def forge_decision(how: str) -> Cause:
    """Change the log of decisions with the triggers off, as one with all rights could; `how` is a statement."""

    def cause(session: Session, storage: Storage, sample: SampleProject) -> None:
        project_id = session.get_one(Subject, sample.subject).project_id
        for outcome in ("allowed", "refused", "allowed"):
            decisions.record(session, project_id, NewDecision("prompt", outcome, "worker", [sample.edited]))
        session.execute(text("ALTER TABLE decisions DISABLE TRIGGER USER"))
        session.execute(text(how))
        session.execute(text("ALTER TABLE decisions ENABLE TRIGGER USER"))

    return cause


def consent(**values: Any) -> Cause:
    """A receipt of the sample's subject, as `values` change it."""

    def cause(session: Session, storage: Storage, sample: SampleProject) -> None:
        given = consents.give(session, session.get_one(Subject, sample.subject), Receipt("Ada", "tests"), "operator")
        session.execute(update(Consent).where(Consent.id == given.id).values(values))

    return cause


def put_image(session: Session, storage: Storage, project_id: str) -> Image:
    """A new image with its object."""
    image_id = new_id("img")
    stored = storage.put(image_prefix(project_id, image_id), "image.png", b"image", "image/png")
    return images.add(session, project_id, image_id, stored, width=64, height=64)


def a_reference(session: Session, sample: SampleProject) -> Image:
    """A reference image of the sample's subject."""
    return session.get_one(Subject, sample.subject).references[0].image


def waits(**values: Any) -> Cause:
    """Let the delivery of the failed job wait, and change columns of it."""
    return lambda session, storage, sample: session.execute(
        update(Delivery)
        .where(Delivery.job_id == sample.failed)
        .values({"state": "pending", "next_attempt_at": func.clock_timestamp() + HOUR, **values})
    )


LONG_AGO = func.clock_timestamp() - HOUR
VIOLATIONS: dict[str, tuple[set[int], str, Cause]] = {
    "a person without consent": (
        {11},
        "has no receipt of consent",
        lambda s, _, j: s.execute(update(Subject).values(category="person")),
    ),
    "a consent that is over": ({11}, "and no dispatcher ends it", consent(until=LONG_AGO)),
    "an end without consequences": (
        {11},
        "have not been dealt with",
        consent(ended_at=func.clock_timestamp() - 30 * HOUR, end_reason="revoked"),
    ),
    "an answer without its job": ({1}, "job_gone, which does not exist", stores_answer(202, "job_gone")),
    "a lease that has ended": ({1}, "and no dispatcher reaps it", leased("running", until=LONG_AGO)),
    "no lease": (
        {1},
        "its lease is missing",
        lambda s, _, j: s.execute(delete(Lease).where(Lease.job_id == j.running)),
    ),
    "a job without a place": ({1}, "without a place in the queue", changed("retried", rank_at=None)),
    "a lease of another clock": (
        {1},
        "was the clock set back?",
        leased("running", until=func.clock_timestamp() + 3 * HOUR),
    ),
    "a queue of another clock": (
        {1},
        "which is in the future",
        changed("retried", queued_at=func.clock_timestamp() + 3 * HOUR),
    ),
    "an epoch without a claim": ({2}, "was claimed 1 times, but its epoch is 2", changed("failed", epoch=2)),
    "two attempts at once": (
        {2},
        "went from running to running",
        lambda s, _, j: s.execute(
            update(Event).where(Event.job_id == j.failed, Event.sequence == 1).values(data={"status": "running"})
        ),
    ),
    "an older attempt's artefact": ({2}, "does not belong to its attempt 1", artefact_of("learned", 0)),
    "a newer attempt's artefact": ({2}, "does not belong to its attempt 2", artefact_of("edited", 3)),
    "an end without its event": (
        {3},
        "is failed, but has no terminal event",
        lambda s, _, j: s.execute(delete(Event).where(Event.job_id == j.failed, Event.terminal)),
    ),
    "a state that differs from its event": (
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
    "no time of the end": ({3}, "has no `finished_at`", changed("failed", finished_at=None)),
    "a lease after the end": ({3}, "is still leased to worker-1", changed("failed", lease_until=LONG_AGO)),
    "an artefact before a success": ({4}, "exists, although its job", record_early),
    "a success without its manifest": (
        {4},
        "0 of 1 artefacts of the role manifest",
        lambda s, _, j: s.delete(files(s, j.learned)[1]),
    ),
    "a success without an image": (
        {4},
        "1 of 2 artefacts of the role image",
        lambda s, _, j: s.delete(files(s, j.edited)[1]),
    ),
    "a prior that is not ready": (
        {4},
        "is not ready, although its job succeeded",
        lambda s, _, j: s.execute(update(Prior).values(ready_at=None)),
    ),
    "a prior with another adapter": (
        {4},
        "its adapter is not an artefact",
        lambda s, _, j: s.execute(update(Prior).where(Prior.ready_at.is_not(None)).values(adapter_sha256="0" * 64)),
    ),
    "a lost object": ({4}, "has no object", lambda s, storage, j: storage.delete(files(s, j.learned)[0].key)),
    "a lost upload": ({4}, "has no object", lambda s, storage, j: storage.delete(a_reference(s, j).key)),
    "a damaged upload": (
        {4},
        "should have the SHA-256",
        lambda s, _, j: s.execute(update(Image).where(Image.id == a_reference(s, j).id).values(sha256="0" * 64)),
    ),
    "a longer object": ({4}, "should have 7 bytes", overwritten(b"adapters")),
    "a damaged object": ({4}, "should have the SHA-256", overwritten(b"ADAPTER")),
    "an older attempt's preview": ({2}, "shows a preview that does not belong to its attempt 1", shows(0)),
    "a lost preview": ({4}, "has no object", shows(1, is_lost=True)),
    "a preview after the end": ({4}, "is failed, but still shows the preview", keep_preview),
    "no delivery to the request's URL": (
        {5},
        "has a webhook URL, but no delivery of prior.succeeded",
        lambda s, _, j: s.execute(delete(Delivery).where(Delivery.job_id == j.learned, Delivery.endpoint_id.is_(None))),
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
            s.execute(update(WebhookEndpoint).values(events=["prior.failed"])),
            s.execute(delete(Delivery).where(Delivery.endpoint_id == j.endpoint)),
        ],
    ),
    "an overdue delivery": (
        {5},
        "and no worker sends it",
        lambda s, _, j: s.execute(
            update(Delivery).where(Delivery.job_id == j.failed).values(state="pending", next_attempt_at=LONG_AGO)
        ),
    ),
    "a delivery that never ends": ({5}, "had 62 attempts", waits(attempts=62)),
    "a delivery that waits for ever": (
        {5},
        "which is longer than any wait",
        waits(next_attempt_at=func.clock_timestamp() + 100 * HOUR),
    ),
    "a delivery that counts too early": (
        {5},
        "although the receiver answered 500",
        lambda s, _, j: s.execute(update(Delivery).where(Delivery.job_id == j.failed).values(last_status=500)),
    ),
    "two jobs under one key": ({6}, "has the idempotency key key", share_key),
    "the same work twice": ({6}, "which succeeded or had not ended", repeat),
    "a retry of a running job": (
        {6},
        "which succeeded or had not ended",
        changed("failed", finished_at=func.clock_timestamp()),
    ),
    "success after a cancel": ({7}, "after its cancel was accepted", changed("learned", cancel_requested_at=LONG_AGO)),
    "a cancelled job that is queued": ({7}, "is still queued", changed("waiting", cancel_requested_at=LONG_AGO)),
    "a cancelled job that runs": ({7}, "worker-1 still runs it", changed("running", cancel_requested_at=LONG_AGO)),
    "an erased subject's row": ({8}, "was erased, but subjects still has", restore_subject),
    "an erased subject's answer": (
        {8},
        "the answer to the idempotency key key reports it",
        stores_answer(201, "erased"),
    ),
    "an answer that names an erased subject": (
        {8},
        "the answer to the idempotency key key names it",
        lambda s, _, j: idempotency.remember(
            s,
            s.get_one(Subject, j.subject).project_id,
            "key",
            b"request",
            Answer(201, {"id": j.subject, "references": [{"image_id": j.erased}]}),
        ),
    ),
    "an erased subject's object": (
        {8},
        "still exists",
        lambda s, storage, j: storage.put(s.scalars(select(Erasure)).one().prefixes[0], "late", b"late", "image/png"),
    ),
    "an overdue erasure": (
        {8},
        "its objects are not deleted yet",
        lambda s, _, j: s.execute(update(Erasure).values(finished_at=None, created_at=LONG_AGO)),
    ),
    "an overdue upload": (
        {8},
        "its file is not deleted yet",
        lambda s, _, j: uploads.create(
            s, s.get_one(Subject, j.subject).project_id, content_type="image/png", size=1, seconds=-3600
        ),
    ),
    "an erased edit's job": (
        {8},
        "was erased, but jobs still has",
        lambda s, _, j: s.execute(
            update(Erasure).values(erased=Erasure.erased.concat([s.get_one(Job, j.edited).edit_id]))
        ),
    ),
    "a reference of an erased image": (
        {8},
        "was erased, but subject_references still has",
        lambda s, _, j: s.execute(
            update(Erasure).values(erased=Erasure.erased.concat([s.get_one(Subject, j.subject).references[0].image_id]))
        ),
    ),
    "a job that lost its prior": (
        {8},
        "is running, but the prior of its edit was erased",
        lambda s, _, j: [
            s.execute(update(Edit).values(prior_deleted_at=LONG_AGO)),
            s.execute(update(Job).where(Job.id == j.running).values(edit_id=s.get_one(Job, j.edited).edit_id)),
        ],
    ),
    "another project's prior": ({9}, "which belongs to another project", use_foreign_prior),
    "another project's reference": ({9}, "which belongs to another project", moved_to_other(Image)),
    "another project's answer": ({9}, "refers to jobs", moved_to_other(IdempotentRequest)),
    "another project's event": ({9}, "refers to jobs", moved_to_other(Event)),
    "another project's object": ({9}, "refers to the object projects/", moved_to_other(Artefact)),
    "a changed decision": (
        {10},
        "its hash does not fit its content",
        forge_decision("UPDATE decisions SET outcome = 'allowed' WHERE number = 2"),
    ),
    "a deleted decision": ({10}, "number 2 is missing", forge_decision("DELETE FROM decisions WHERE number = 2")),
    "a decision of another chain": (
        {10},
        "does not follow the decision number 2",
        forge_decision(f"UPDATE decisions SET previous = '{'0' * 64}' WHERE number = 3"),
    ),
}
