"""Invariant 7: after a cancel is accepted no success follows, and the GPU is free within one step."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.models import Job
from ledger.states import State


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Cancelled jobs that succeeded, are still queued, or still run."""
    canceled = Job.cancel_requested_at.is_not(None)
    for job_id in session.scalars(select(Job.id).where(canceled, Job.state == State.SUCCEEDED)):
        yield Violation(7, f"job {job_id}", "succeeded after its cancel was accepted")
    for job_id in session.scalars(select(Job.id).where(canceled, Job.state == State.QUEUED)):
        yield Violation(7, f"job {job_id}", "was cancelled while it was queued, and is still queued")
    late = Job.cancel_requested_at < now(session) - bounds.patience
    for job in session.scalars(select(Job).where(late, Job.state == State.RUNNING)):
        since = f"{job.cancel_requested_at:{MOMENT}}"
        yield Violation(7, f"job {job.id}", f"was cancelled at {since}, and {job.worker} still runs it")
