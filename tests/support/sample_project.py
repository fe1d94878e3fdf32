"""A project without violations that has jobs in every state, webhook deliveries and an erased subject."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ledger import attempts, deliveries, erasures, idempotency, jobs, retries, webhooks
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim
from ledger.database import UnitOfWork
from ledger.deliveries import Outcome
from ledger.idempotency import Answer
from ledger.models import Delivery, Job, Project, Subject, WebhookEndpoint
from ledger.storage import Storage, attempt_prefix
from tests.support.factories import edit, learn, make_subject

HOOK = "https://example.com/hook"
PROMPTS = ["a photo of sks dog jumping", "a photo of sks dog sitting"]


@dataclass(frozen=True)
class SampleProject:
    """The ids of its jobs, by their state, of its subjects and of its webhook endpoint."""

    learned: str
    edited: str
    failed: str
    retried: str
    canceled: str
    waiting: str
    running: str
    subject: str
    erased: str
    endpoint: str


def make_sample_project(begin: UnitOfWork, storage: Storage, project: Project) -> SampleProject:
    """Fill the project by the same calls as the service's programs."""
    with begin() as session:
        endpoint = webhooks.create_endpoint(session, project.id, HOOK)
        an_hour_ago = endpoint.created_at - timedelta(hours=1)
        session.execute(update(WebhookEndpoint).values(changed_at=an_hour_ago, created_at=an_hour_ago))
    rex, gone = (make_subject(begin, storage, project) for _ in range(2))
    learned = learn(begin, project, rex)
    answer(begin, project, learned)
    succeed(begin, storage, learned, [("adapter", {}), ("manifest", {})])
    edited = edit(begin, storage, project, rex, learned.prior_id, PROMPTS)
    answer(begin, project, edited)
    images = [("image", {"target_prompt": prompt, "seed": 7}) for prompt in PROMPTS]
    release(begin, edited)
    succeed(begin, storage, edited, images)
    failed = learn(begin, project, rex)
    fail(begin, failed)
    with begin() as session:
        retried = retries.retry(session, project.id, failed.id)
    canceled, running, waiting = (learn(begin, project, rex) for _ in range(3))
    with begin() as session:
        jobs.cancel(session, project.id, canceled.id)
        claim = attempts.claim(session, running.id, "worker-1", lease_seconds=60)
        assert claim
        show_preview(session, storage, claim, claim.epoch)
    lost = learn(begin, project, gone)
    answer(begin, project, lost)
    succeed(begin, storage, lost, [("adapter", {}), ("manifest", {})])
    deliver(begin)
    erase(begin, storage, gone)
    assert retried
    return SampleProject(
        learned.id, edited.id, failed.id, retried.id, canceled.id, waiting.id, running.id, rex.id, gone.id, endpoint.id
    )


def answer(begin: UnitOfWork, project: Project, job: Job) -> None:
    """Store an answer, as for a request with an idempotency key and a webhook URL."""
    with begin() as session:
        session.execute(update(Job).where(Job.id == job.id).values(idempotency_key=f"key {job.id}", webhook_url=HOOK))
        body = {"id": job.id, "subject_id": job.subject_id}
        idempotency.remember(session, project.id, f"key {job.id}", b"request", Answer(202, body))


def succeed(begin: UnitOfWork, storage: Storage, job: Job, files: list[tuple[str, dict[str, object]]]) -> None:
    """A worker's whole attempt, without the GPU."""
    with begin() as session:
        claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
    assert claim
    prefix = attempt_prefix(claim.project_id, job.id, claim.epoch)
    new_artefacts = [
        NewArtefact(
            role, role, "image/png", storage.put(prefix, f"{role}-{place}", role.encode(), "image/png"), details
        )
        for place, (role, details) in enumerate(files)
    ]
    with begin() as session:
        attempts.renew(session, claim, attempts.Progress("training", 1, 9), lease_seconds=60)
        assert attempts.finish(session, claim, new_artefacts, resolved={}, metrics={}, manifest={})


def show_preview(session: Session, storage: Storage, claim: Claim, epoch: int, *, is_lost: bool = False) -> None:
    """Report a preview of a running job, stored under the prefix of the attempt `epoch`."""
    stored = storage.put(attempt_prefix(claim.project_id, claim.job_id, epoch), "preview", b"preview", "image/png")
    if is_lost:
        storage.delete(stored.key)
    preview = NewArtefact("preview", "preview.png", "image/png", stored, {"step": 1})
    attempts.renew(session, claim, attempts.Progress("training", 1, 9, preview=preview), lease_seconds=60)


def release(begin: UnitOfWork, job: Job) -> None:
    """The attempt of a draining worker."""
    with begin() as session:
        claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
        assert claim
        attempts.release(session, claim, charge=False)


def fail(begin: UnitOfWork, job: Job) -> None:
    """An attempt that fails with an error."""
    with begin() as session:
        claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
        assert claim
        attempts.finish_failed(session, claim, "gpu_out_of_memory", "too large", {})


def deliver(begin: UnitOfWork) -> None:
    """Deliver every webhook except the first, whose receiver does not answer."""
    with begin() as session:
        due = list(session.scalars(select(Delivery.id).order_by(Delivery.created_at, Delivery.id)))
    for place, delivery_id in enumerate(due):
        with begin() as session:
            attempt = deliveries.claim(session, delivery_id, lease=30)
            assert attempt
            outcome: Outcome = "delivered" if place else "exhausted"
            status = 204 if place else 500
            deliveries.record_outcome(session, attempt, outcome, None, status, None)


def erase(begin: UnitOfWork, storage: Storage, subject: Subject) -> None:
    """Erase a subject."""
    with begin() as session:
        erasure = erasures.erase_subject(session, subject.project_id, subject.id)
    assert erasure
    erasures.sweep(begin, storage, erasure.id)
