"""Jobs that nobody works on though somebody should: the dispatcher's side."""

from datetime import timedelta

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from ledger import outbox, transitions
from ledger.database import now
from ledger.jobs import Job, Kind
from ledger.quotas import full_projects
from ledger.states import State


def reap(session: Session, *, max_attempts: int, limit: int = 100) -> int:
    """Bring back jobs whose lease ran out; those that had their attempts fail as `worker_lost`. The number found."""
    expired = (
        select(Job)
        .where(Job.state == State.RUNNING, Job.lease_until < func.clock_timestamp())
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


def notify_stranded(session: Session, kind: Kind, *, seconds: float, max_running: int, limit: int = 8) -> int:
    """Announce again what was last announced more than `seconds` ago: the message may be lost. The number.

    Only the `limit` oldest that wait: while every worker is busy, messages must not pile up for a long queue. A project
    that has `max_running` jobs running may have no more: nobody rings for it, and others have their turn.
    """
    waiting = (Job.state == State.QUEUED, Job.kind == kind, Job.project_id.not_in(full_projects(max_running)))
    oldest = select(Job.id).where(*waiting).order_by(Job.created_at).limit(limit)
    long_ago = func.clock_timestamp() - timedelta(seconds=seconds)
    query = (
        select(Job)
        .where(Job.id.in_(oldest.scalar_subquery()), Job.state == State.QUEUED, Job.rung_at < long_ago)
        .where(~exists().where(outbox.Entry.identifier == Job.id))
        .order_by(Job.created_at)
        .with_for_update(skip_locked=True)
    )
    stranded = list(session.scalars(query))
    for job in stranded:
        job.rung_at = now(session)
        outbox.add(session, transitions.task(job), job.id)
    return len(stranded)
