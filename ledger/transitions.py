"""A job's changes of state. Each is checked, numbered and recorded as an event; the last one creates the deliveries.

The callers have locked the job's row.
"""

from typing import Any

from sqlalchemy.orm import Session

from ledger import outbox, previews, usage, webhooks
from ledger.database import now
from ledger.models import Event, Job
from ledger.states import TERMINAL, State, check


def record(session: Session, job: Job, state: State) -> None:
    """Write the event of a change of state, and the webhook deliveries of a terminal one."""
    recorded = event(job, state)
    session.add(recorded)
    session.flush()
    if recorded.terminal:
        data = recorded.data | {
            "kind": job.kind,
            "subject_id": job.subject_id,
            "prior_id": job.prior_id,
            "edit_id": job.edit_id,
            "warnings": job.warnings,
            "metadata": job.user_metadata,
        }
        webhooks.create_deliveries(session, job.project_id, job.id, f"{job.kind}.{state}", data, job.webhook_url)


def event(job: Job, state: State) -> Event:
    """The next event of the job, which is now in `state`; the caller writes it."""
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


def end(session: Session, job: Job, state: State) -> None:
    """End the job in a terminal state."""
    check(job.status, state)
    if job.status is State.RUNNING:
        usage.charge(session, job)
    job.state, job.lease_until, job.finished_at = state, None, now(session)
    job.partial = {}
    job.progress = previews.without_preview(job.progress)
    record(session, job, state)


def fail(session: Session, job: Job, code: str, detail: str) -> None:
    """End the job as failed: `code` for programs, `detail` for people."""
    job.error_code, job.error_detail = code, detail
    end(session, job, State.FAILED)


def requeue(session: Session, job: Job, *, charge: bool) -> None:
    """Return the job to the queue, with a message to the workers. `charge`: the attempt counts."""
    check(job.status, State.QUEUED)
    usage.charge(session, job)
    job.state, job.lease_until, job.worker = State.QUEUED, None, None
    job.progress = previews.without_preview(job.progress)
    job.attempt = job.attempt if charge else job.attempt - 1
    job.queued_at = job.notified_at = now(session)
    record(session, job, State.QUEUED)
    outbox.add(session, task(job), job.id)


def task(job: Job) -> str:
    """The Celery task that runs the job."""
    return f"lipe.{job.kind}"
