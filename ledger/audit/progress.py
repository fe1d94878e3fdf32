"""Invariant 1: a 202 means that the job row is committed, and the job reaches a terminal state."""

from collections.abc import Iterator

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.models import IdempotentRequest, Job
from ledger.quotas import full_projects
from ledger.states import State

ACCEPTED = 202


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Answers without their job, running jobs that are not reaped, and queued jobs without a message to the workers."""
    named = IdempotentRequest.body["id"].astext
    lost = select(IdempotentRequest.key, named).where(
        IdempotentRequest.status == ACCEPTED, ~select(Job).where(Job.id == named).exists()
    )
    for key, job_id in session.execute(lost):
        yield Violation(1, f"idempotency key {key}", f"was answered 202 with {job_id}, which does not exist")

    long_ago = now(session) - bounds.patience
    no_lease = or_(Job.lease_until.is_(None), Job.lease_until < long_ago)
    for job in session.scalars(select(Job).where(Job.state == State.RUNNING, no_lease)):
        ended = f"ended at {job.lease_until:{MOMENT}}" if job.lease_until else "is missing"
        yield Violation(1, f"job {job.id}", f"is running, its lease {ended}, and no dispatcher reaps it")

    ahead = Job.lease_until > now(session) + bounds.lease + bounds.patience
    for job in session.scalars(select(Job).where(Job.state == State.RUNNING, ahead)):
        detail = (
            f"is running on a lease until {job.lease_until:{MOMENT}}, which no worker takes: was the clock set back?"
        )
        yield Violation(1, f"job {job.id}", detail)
    future = Job.notified_at > now(session) + bounds.patience
    for job in session.scalars(select(Job).where(Job.state == State.QUEUED, future)):
        detail = f"is queued, and its workers were notified at {job.notified_at:{MOMENT}}, which is in the future"
        yield Violation(1, f"job {job.id}", detail)

    # The dispatcher repeats its messages for the oldest jobs only. Younger ones may wait without a message, and so may
    # jobs of a project that already runs `max_running` jobs.
    waiting = (Job.state == State.QUEUED, Job.project_id.not_in(full_projects(bounds.max_running)))
    oldest = select(Job).where(*waiting).ext(distinct_on(Job.kind)).order_by(Job.kind, Job.created_at)
    for job in session.scalars(oldest):
        if job.notified_at < long_ago:
            yield Violation(
                1, f"job {job.id}", f"is queued, and no worker was notified since {job.notified_at:{MOMENT}}"
            )
