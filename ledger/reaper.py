"""The dispatcher's operations on jobs: reap lost ones, expire old ones, repeat messages that may be lost."""

import math
from datetime import timedelta

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from ledger import outbox, transitions
from ledger.database import now
from ledger.models import Job, OutboxEntry
from ledger.quotas import full_projects
from ledger.states import JobKind, State


def reap(session: Session, *, max_attempts: int, max_lease_seconds: float = math.inf, limit: int = 100) -> int:
    """Requeue jobs whose lease has ended, or fail them as `worker_lost` after the last attempt. Returns the number.

    A lease that ends later than in `max_lease_seconds` is older than a change of the clock. A worker that lives has
    renewed it since, so it counts as ended, too.
    """
    moment = now(session)
    ended = Job.lease_until < moment
    if math.isfinite(max_lease_seconds):
        ended = or_(ended, Job.lease_until > moment + timedelta(seconds=max_lease_seconds))
    expired = (
        select(Job)
        .where(Job.state == State.RUNNING, ended)
        .order_by(Job.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    lost = sorted(session.scalars(expired), key=lambda job: job.project_id)  # two reapers lock usage in one order
    for job in lost:
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
        for job in session.scalars(query.limit(limit).with_for_update(skip_locked=True)).all():
            transitions.end(session, job, State.EXPIRED)
            count += 1
    return count


def notify_stranded(session: Session, kind: JobKind, *, seconds: float, max_running: int, limit: int = 8) -> int:
    """Notify the workers again about queued jobs whose last message is older than `seconds`. Returns the number.

    Only the `limit` oldest are considered: while all workers are busy, messages must not pile up for a long queue.
    Projects that have `max_running` running jobs are left out, so that others get their turn.
    """
    waiting = (Job.state == State.QUEUED, Job.kind == kind, Job.project_id.not_in(full_projects(max_running)))
    oldest = select(Job.id).where(*waiting).order_by(Job.created_at).limit(limit)
    long_ago = func.clock_timestamp() - timedelta(seconds=seconds)
    query = (
        select(Job)
        .where(Job.id.in_(oldest.scalar_subquery()), Job.state == State.QUEUED, Job.notified_at < long_ago)
        .where(~exists().where(OutboxEntry.identifier == Job.id))
        .order_by(Job.created_at)
        .with_for_update(skip_locked=True)
    )
    stranded = list(session.scalars(query))
    for job in stranded:
        job.notified_at = now(session)
        outbox.add(session, transitions.task(job), job.id)
    return len(stranded)
