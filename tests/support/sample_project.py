"""A healthy project with a bit of everything: jobs in every state, webhooks made, a subject erased."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ledger import attempts, deliveries, erasures, idempotency, jobs, retries, webhooks
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim
from ledger.database import UnitOfWork
from ledger.idempotency import Answer
from ledger.jobs import Job
from ledger.projects import Project
from ledger.storage import Storage, attempt_prefix
from ledger.subjects import Subject
from ledger.webhooks import Delivery, Endpoint
from tests.support.factories import edit, learn, make_subject

HOOK = "https://example.com/hook"
PROMPTS = ["a photo of sks dog jumping", "a photo of sks dog sitting"]


@dataclass(frozen=True)
class Journey:
    """Ids of jobs by how they stand, of subjects, and of the webhook endpoint."""

    learnt: str
    edited: str
    failed: str
    retried: str
    canceled: str
    waiting: str
    running: str
    subject: str
    erased: str
    endpoint: str


def travel(begin: UnitOfWork, storage: Storage, project: Project) -> Journey:
    """Make all of it, as the service's programs do."""
    with begin() as session:
        endpoint = webhooks.create_endpoint(session, project.id, HOOK)
        an_hour_ago = endpoint.created_at - timedelta(hours=1)
        session.execute(update(Endpoint).values(changed_at=an_hour_ago, created_at=an_hour_ago))
    rex, gone = (make_subject(begin, storage, project) for _ in range(2))
    learnt = learn(begin, project, rex)
    answer(begin, project, learnt)
    succeed(begin, storage, learnt, [("adapter", {}), ("manifest", {})])
    edited = edit(begin, storage, project, rex, learnt.prior_id, PROMPTS)
    answer(begin, project, edited)
    pictures = [("image", {"target_prompt": prompt, "seed": 7}) for prompt in PROMPTS]
    give_back(begin, edited)
    succeed(begin, storage, edited, pictures)
    failed = learn(begin, project, rex)
    fail(begin, failed)
    with begin() as session:
        retried = retries.retry(session, project.id, failed.id)
    canceled, running, waiting = (learn(begin, project, rex) for _ in range(3))
    with begin() as session:
        jobs.cancel(session, project.id, canceled.id)
        claim = attempts.claim(session, running.id, "worker-1", lease_seconds=60)
        assert claim
        show(session, storage, claim, claim.epoch)
    lost = learn(begin, project, gone)
    answer(begin, project, lost)
    succeed(begin, storage, lost, [("adapter", {}), ("manifest", {})])
    deliver(begin)
    erase(begin, storage, gone)
    assert retried
    return Journey(
        learnt.id, edited.id, failed.id, retried.id, canceled.id, waiting.id, running.id, rex.id, gone.id, endpoint.id
    )


def answer(begin: UnitOfWork, project: Project, job: Job) -> None:
    """The job was asked for with an idempotency key and a webhook of its own."""
    with begin() as session:
        session.execute(update(Job).where(Job.id == job.id).values(idempotency_key=f"key {job.id}", webhook_url=HOOK))
        body = {"id": job.id, "subject_id": job.subject_id}
        idempotency.remember(session, project.id, f"key {job.id}", b"request", Answer(202, body))


def succeed(begin: UnitOfWork, storage: Storage, job: Job, files: list[tuple[str, dict[str, object]]]) -> None:
    """A worker's whole attempt, but for the GPU."""
    with begin() as session:
        claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
    assert claim
    prefix = attempt_prefix(claim.project_id, job.id, claim.epoch)
    made = [
        NewArtefact(
            role, role, "image/png", storage.put(prefix, f"{role}-{place}", role.encode(), "image/png"), details
        )
        for place, (role, details) in enumerate(files)
    ]
    with begin() as session:
        attempts.renew(session, claim, attempts.Progress("training", 1, 9), lease_seconds=60)
        assert attempts.finish(session, claim, made, resolved={}, metrics={}, manifest={})


def show(session: Session, storage: Storage, claim: Claim, epoch: int, *, is_lost: bool = False) -> None:
    """A preview of a running job, stored as the attempt `epoch` would."""
    stored = storage.put(attempt_prefix(claim.project_id, claim.job_id, epoch), "preview", b"preview", "image/png")
    if is_lost:
        storage.delete(stored.key)
    preview = NewArtefact("preview", "preview.png", "image/png", stored, {"step": 1})
    attempts.renew(session, claim, attempts.Progress("training", 1, 9, preview=preview), lease_seconds=60)


def give_back(begin: UnitOfWork, job: Job) -> None:
    """A draining worker's attempt."""
    with begin() as session:
        claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
        assert claim
        attempts.release(session, claim, charge=False)


def fail(begin: UnitOfWork, job: Job) -> None:
    """An attempt that met an error."""
    with begin() as session:
        claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
        assert claim
        attempts.finish_failed(session, claim, "gpu_out_of_memory", "too large", {})


def deliver(begin: UnitOfWork) -> None:
    """Every webhook is received, but one whose receiver is down."""
    with begin() as session:
        due = list(session.scalars(select(Delivery.id).order_by(Delivery.created_at, Delivery.id)))
    for place, delivery_id in enumerate(due):
        with begin() as session:
            sending = deliveries.take(session, delivery_id, lease=30)
            assert sending
            outcome, status = ("delivered", 204) if place else ("exhausted", 500)
            deliveries.settle(session, delivery_id, sending.attempt, outcome, None, status, None)


def erase(begin: UnitOfWork, storage: Storage, subject: Subject) -> None:
    """A subject and all that came of it."""
    with begin() as session:
        erasure = erasures.erase_subject(session, subject.project_id, subject.id)
    assert erasure
    erasures.sweep(begin, storage, erasure.id)
