"""A job's changes of state. Each is checked, numbered and recorded as an event; some are announced by webhooks.

The webhooks are "started" (the job's first claim, once for each job), "output" (one result of an edit is stored) and
the terminal event. All are written in the transaction of the change, by the attempt that has the lease. The callers
have locked the job's row.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from ledger import leases, outbox, outcomes, previews, usage, webhooks
from ledger.database import now
from ledger.models import Event, Job
from ledger.states import TERMINAL, State, check
from ledger.tracing import trace_id

FIRST_EPOCH = 1
NO_FACTS: Mapping[str, Any] = MappingProxyType({})


def record(session: Session, job: Job, state: State, facts: Mapping[str, Any] = NO_FACTS) -> None:
    """Write the event of a change of state, and its webhook deliveries; `facts` are those of its webhooks alone."""
    recorded = event(job, state)
    session.add(recorded)
    session.flush()
    if recorded.terminal:
        announce(session, job, recorded.type, facts)
    elif state is State.RUNNING and job.epoch == FIRST_EPOCH:
        announce(session, job, f"{job.kind}.started", facts)


def announce(session: Session, job: Job, event_type: str, facts: Mapping[str, Any]) -> None:
    """Write the webhook deliveries of an event of the job in its present state, to all that subscribe to its type."""
    data = {
        **_state(job),
        **facts,
        "kind": job.kind,
        "subject_id": job.subject_id,
        "prior_id": job.prior_id,
        "edit_id": job.edit_id,
        "result_path": job.result_path,
        "warnings": job.warnings,
        "trace_id": trace_id(job.traceparent),
        "metadata": job.user_metadata,
    }
    url = job.webhook_url if webhooks.subscribes(job.webhook_events, event_type) else None
    webhooks.create_deliveries(session, job.project_id, job.id, event_type, data, url, job.traceparent)


def event(job: Job, state: State) -> Event:
    """The next event of the job, which is now in `state` and has no lease; the caller writes it."""
    job.sequence += 1
    return Event(
        project_id=job.project_id,
        job_id=job.id,
        sequence=job.sequence,
        type=f"{job.kind}.{state}",
        data=_state(job) | {"status": str(state)},
        terminal=state in TERMINAL,
    )


def _state(job: Job) -> dict[str, Any]:
    data: dict[str, Any] = {"job_id": job.id, "status": job.state, "attempt": job.attempt}
    if job.error_code is not None:
        data["error"] = {"code": job.error_code, "detail": job.error_detail}
    return data


def end(
    session: Session, job: Job, state: State, facts: Mapping[str, Any] = NO_FACTS, seconds: float | None = None
) -> None:
    """End the job in a terminal state; `facts` are those of its webhook alone, `seconds` those of the attempt."""
    check(job.status, state)
    if job.status is State.RUNNING:
        _close_attempt(session, job, seconds)
    job.state, job.finished_at = state, now(session)
    job.partial = {}
    job.progress = previews.without_preview(job.progress)
    record(session, job, state, facts)
    age = (job.finished_at - job.created_at).total_seconds()
    outcomes.note(session, outcomes.Ended(job.kind, state, job.error_code or "", age))


def fail(session: Session, job: Job, code: str, detail: str, seconds: float | None = None) -> None:
    """End the job as failed: `code` for programs, `detail` for people."""
    job.error_code, job.error_detail = code, detail
    end(session, job, State.FAILED, seconds=seconds)


def requeue(session: Session, job: Job, *, charge: bool, seconds: float | None = None) -> None:
    """Return the job to the queue, with a message to the workers. `charge`: the attempt counts."""
    check(job.status, State.QUEUED)
    _close_attempt(session, job, seconds)
    job.state, job.worker = State.QUEUED, None
    job.progress = previews.without_preview(job.progress)
    job.attempt = job.attempt if charge else job.attempt - 1
    job.queued_at = job.notified_at = now(session)
    record(session, job, State.QUEUED)
    outbox.add(session, task(job), job.id)


def _close_attempt(session: Session, job: Job, seconds: float | None) -> None:
    usage.charge(session, job, seconds)
    leases.close(session, job)
    if seconds is not None:
        outcomes.note(session, outcomes.AttemptEnded(job.kind, seconds))


def task(job: Job) -> str:
    """The Celery task that runs the job."""
    return f"lipe.{job.kind}"
