"""The dispatcher's operations on jobs: reap lost ones, expire old ones."""

import math
from datetime import timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ledger import leases, outcomes, transitions
from ledger.database import now
from ledger.models import Job
from ledger.states import State


def reap(session: Session, *, max_attempts: int, max_lease_seconds: float = math.inf, limit: int = 100) -> int:
    """Requeue jobs whose lease has ended, or fail them as `worker_lost` after the last attempt. Returns the number.

    A lease that ends later than in `max_lease_seconds` is older than a change of the clock. A worker that lives has
    renewed it since, so it counts as ended, too.
    """
    moment = now(session)
    ended = leases.until() < moment
    if math.isfinite(max_lease_seconds):
        ended = or_(ended, leases.until() > moment + timedelta(seconds=max_lease_seconds))
    expired = (
        leases.of_running().where(ended).order_by(leases.until()).limit(limit).with_for_update(of=Job, skip_locked=True)
    )
    lost = sorted(session.scalars(expired), key=lambda job: job.project_id)  # two reapers lock usage in one order
    for job in lost:
        outcomes.note(session, outcomes.AttemptLost(job.kind))
        if job.cancel_requested_at is not None:
            transitions.end(session, job, State.CANCELED)
        elif job.attempt >= max_attempts:
            transitions.fail(
                session, job, "worker_lost", f"{job.attempt} workers in a row stopped answering while they had it"
            )
        else:
            transitions.requeue(session, job, charge=True)
    return len(lost)


def expire(session: Session, *, deadline_seconds: float, limit: int = 100) -> int:
    """End jobs that have been queued for longer than the deadline, or than their own. Returns the number."""
    before = now(session) - timedelta(seconds=deadline_seconds)  # a constant, so that the index of queued jobs is used
    too_long = select(Job).where(Job.state == State.QUEUED, Job.created_at < before, Job.queued_at < before)
    # A job that a worker had already and lost is not too late: its user sees that it was begun.
    own = select(Job).where(Job.state == State.QUEUED, Job.expires_at < now(session), Job.started_at.is_(None))
    count = 0
    for query in (too_long.order_by(Job.created_at), own.order_by(Job.expires_at)):
        for job in session.scalars(query.limit(limit).with_for_update(of=Job, skip_locked=True)).all():
            transitions.end(session, job, State.EXPIRED)
            count += 1
    return count
