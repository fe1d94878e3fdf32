"""Invariant 1: a 202 means that the job row is committed, and the job reaches a terminal state."""

from collections.abc import Iterator

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ledger import leases
from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.models import IdempotentRequest, Job
from ledger.states import State

ACCEPTED = 202


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Answers without their job, running jobs that are not reaped, and jobs that were queued in the future."""
    named = IdempotentRequest.body["id"].astext
    lost = select(IdempotentRequest.key, named).where(
        IdempotentRequest.status == ACCEPTED, ~select(Job).where(Job.id == named).exists()
    )
    for key, job_id in session.execute(lost):
        yield Violation(1, f"idempotency key {key}", f"was answered 202 with {job_id}, which does not exist")

    long_ago = now(session) - bounds.patience
    running = leases.of_running().add_columns(leases.until())
    for job, until in session.execute(running.where(or_(leases.until().is_(None), leases.until() < long_ago))):
        ended = f"ended at {until:{MOMENT}}" if until else "is missing"
        yield Violation(1, f"job {job.id}", f"is running, its lease {ended}, and no dispatcher reaps it")

    ahead = leases.until() > now(session) + bounds.lease + bounds.patience
    for job, until in session.execute(running.where(ahead)):
        detail = f"is running on a lease until {until:{MOMENT}}, which no worker takes: was the clock set back?"
        yield Violation(1, f"job {job.id}", detail)
    future = Job.queued_at > now(session) + bounds.patience
    for job in session.scalars(select(Job).where(Job.state == State.QUEUED, or_(future, Job.rank_at.is_(None)))):
        detail = f"was queued at {job.queued_at:{MOMENT}}, which is in the future: was the clock set back?"
        yield Violation(1, f"job {job.id}", detail if job.rank_at else "is queued without a place in the queue")
