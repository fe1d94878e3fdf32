"""A job's steps from state to state: each is checked, numbered, recorded as an event, and announced if it is the last.

The callers hold the row's lock.
"""

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from ledger import outbox, previews, usage, webhooks
from ledger.database import now
from ledger.events import Event
from ledger.states import TERMINAL, State, check

if TYPE_CHECKING:
    from ledger.jobs import Job


def record(session: Session, job: "Job", state: State) -> None:
    """The event of a change of state, numbered; a terminal one goes out to the webhooks, too."""
    happened = event(job, state)
    session.add(happened)
    session.flush()
    if happened.terminal:
        about = happened.data | {
            "kind": job.kind,
            "subject_id": job.subject_id,
            "prior_id": job.prior_id,
            "edit_id": job.edit_id,
            "metadata": job.user_metadata,
        }
        webhooks.announce(session, job.project_id, job.id, f"{job.kind}.{state}", about, job.webhook_url)


def event(job: "Job", state: State) -> Event:
    """The next event of the job, still to be written: it is in `state` now."""
    job.sequence += 1
    data: dict[str, Any] = {"job_id": job.id, "status": str(state), "attempt": job.attempt}
    if job.error_code is not None:
        data["error"] = {"code": job.error_code, "detail": job.error_detail}
    return Event(
        project_id=job.project_id,
        job_id=job.id,
        sequence=job.sequence,
        type=f"{job.kind}.{state}",
        data=data,
        terminal=state in TERMINAL,
    )


def end(session: Session, job: "Job", state: State) -> None:
    """The last step."""
    check(job.status, state)
    if job.status is State.RUNNING:
        usage.charge(session, job)
    job.state, job.lease_until, job.finished_at = state, None, now(session)
    job.progress = previews.without(job.progress)
    record(session, job, state)


def fail(session: Session, job: "Job", code: str, detail: str) -> None:
    """The last step of a job that cannot be done: `code` for programs, `detail` for people."""
    job.error_code, job.error_detail = code, detail
    end(session, job, State.FAILED)


def requeue(session: Session, job: "Job", *, charge: bool) -> None:
    """Back to the queue, with a doorbell; an attempt that is not charged does not count."""
    check(job.status, State.QUEUED)
    usage.charge(session, job)
    job.state, job.lease_until, job.worker = State.QUEUED, None, None
    job.progress = previews.without(job.progress)
    job.attempt = job.attempt if charge else job.attempt - 1
    job.queued_at = job.rung_at = now(session)
    record(session, job, State.QUEUED)
    outbox.add(session, task(job), job.id)


def task(job: "Job") -> str:
    """Which doorbell rings for the job."""
    return f"lipe.{job.kind}"
