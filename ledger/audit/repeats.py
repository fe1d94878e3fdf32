"""Invariant 6: the same idempotency key and body create one job only."""

from collections.abc import Iterator

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from ledger.audit.violation import Bounds, Violation
from ledger.models import Job
from ledger.retries import RETRYABLE


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Two jobs with one idempotency key, and two concurrent jobs for one prior or edit."""
    first, second = aliased(Job), aliased(Job)
    twice = select(first.id, second.id, first.idempotency_key).where(
        first.project_id == second.project_id,
        first.idempotency_key == second.idempotency_key,
        first.created_at < second.created_at,
        second.created_at < first.created_at + bounds.key_lifetime,
    )
    for one, other, key in session.execute(twice):
        yield Violation(6, f"job {other}", f"has the idempotency key {key}, as job {one} has")

    # Several jobs of one prior or edit are retries: each is created after the previous one ended in a retryable state.
    work = func.coalesce(Job.edit_id, Job.prior_id)
    before = [
        func.lag(column).over(partition_by=(Job.kind, work), order_by=(Job.created_at, Job.id))
        for column in (Job.id, Job.state, Job.finished_at)
    ]
    columns = (column.label(f"before_{n}") for n, column in enumerate(before))
    # Captions and masks have neither: two of them may be about the same images.
    pairs = select(Job.id, Job.created_at, *columns).where(work.is_not(None)).subquery()
    job_id, state, finished_at = (pairs.c[f"before_{n}"] for n in range(len(before)))
    live = or_(state.not_in(RETRYABLE), finished_at > pairs.c.created_at)
    for one, other in session.execute(select(job_id, pairs.c.id).where(job_id.is_not(None), live)):
        yield Violation(6, f"job {other}", f"repeats the work of job {one}, which succeeded or had not ended")
