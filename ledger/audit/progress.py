"""Invariant 1: a 202 means that the job row is committed, and it reaches a terminal state whatever dies."""

from collections.abc import Iterator

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.idempotency import Request
from ledger.jobs import Job
from ledger.quotas import full_projects
from ledger.states import State

ACCEPTED = 202


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Answers without their job, and jobs that nobody brings on."""
    named = Request.body["id"].astext
    lost = select(Request.key, named).where(Request.status == ACCEPTED, ~select(Job).where(Job.id == named).exists())
    for key, job_id in session.execute(lost):
        yield Violation(1, f"idempotency key {key}", f"was answered 202 with {job_id}, which does not exist")

    long_ago = now(session) - bounds.patience
    unled = or_(Job.lease_until.is_(None), Job.lease_until < long_ago)
    for job in session.scalars(select(Job).where(Job.state == State.RUNNING, unled)):
        ended = f"ended at {job.lease_until:{MOMENT}}" if job.lease_until else "is missing"
        yield Violation(1, f"job {job.id}", f"is running, its lease {ended}, and nobody reaps it")

    # The dispatcher rings again and again for the oldest; a younger one may rightly wait in silence behind it, and one
    # of a project that has enough running until there is room.
    waiting = (Job.state == State.QUEUED, Job.project_id.not_in(full_projects(bounds.max_running)))
    oldest = select(Job).where(*waiting).ext(distinct_on(Job.kind)).order_by(Job.kind, Job.created_at)
    for job in session.scalars(oldest):
        if job.rung_at < long_ago:
            yield Violation(1, f"job {job.id}", f"waits, and nobody has rung for it since {job.rung_at:{MOMENT}}")
