"""Leases: until when a running job belongs to its attempt, and the attempt's latest progress.

A lease is a row of its own, because it is written every second or two for as long as the job runs. The row is narrow,
and no index has a column that a renewal changes, so Postgres updates it in place (HOT) and the job's row rests. The
numbers of events and progress come from the lease while there is one. The callers have locked the job's row, except
for `renew`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Interval, Select, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from ledger.compiled_statement import CompiledStatement, SessionOrConnection
from ledger.models import Job, Lease
from ledger.states import State


def take(session: Session, job: Job, *, seconds: float) -> None:
    """Lease the job to its present epoch."""
    values = {
        "epoch": job.epoch,
        "until": func.clock_timestamp() + timedelta(seconds=seconds),
        "sequence": job.sequence,
        "progress": {},
        "progress_sequence": 0,
    }
    row = insert(Lease).values(job_id=job.id, **values)
    session.execute(row.on_conflict_do_update(index_elements=[Lease.job_id], set_=values))


_RENEW = CompiledStatement(
    update(Lease)
    .where(Lease.job_id == bindparam("job"), Lease.epoch == bindparam("attempt_epoch"))
    .where(Job.id == Lease.job_id, Job.epoch == Lease.epoch, Job.state == State.RUNNING)
    .values(
        until=func.clock_timestamp() + bindparam("lease", type_=Interval),
        sequence=Lease.sequence + 1,
        progress_sequence=Lease.sequence + 1,
        progress=bindparam("report", type_=JSONB),
    )
    .returning(Job.cancel_requested_at)
)


def renew(
    on: SessionOrConnection, job_id: str, epoch: int, progress: Mapping[str, Any], *, seconds: float
) -> tuple[bool, datetime | None]:
    """Renew the lease of the epoch and write its progress.

    Returns whether there still is that lease, and when the user cancelled the job, or None.
    """
    lease = timedelta(seconds=seconds)
    for (cancel_requested_at,) in _RENEW(on, job=job_id, attempt_epoch=epoch, lease=lease, report=dict(progress)):
        return True, cancel_requested_at
    return False, None


def close(session: Session, job: Job) -> None:
    """End the job's lease; its numbers and its progress go to the job."""
    columns = (Lease.sequence, Lease.progress, Lease.progress_sequence)
    lease = session.execute(delete(Lease).where(Lease.job_id == job.id).returning(*columns)).first()
    session.expire(job, ["lease"])
    job.lease_until = None
    if lease is None:  # an attempt of the release before this one
        return
    job.sequence = max(job.sequence, lease.sequence)
    if lease.progress:
        job.progress, job.progress_sequence = lease.progress, lease.progress_sequence


def next_number(session: Session, job: Job) -> int:
    """The number of the job's next event. A job that no worker has claimed has no lease, and the API changes none."""
    if job.epoch == 0:
        return job.sequence + 1
    mine = (Lease.job_id == job.id, Lease.epoch == job.epoch)
    leased = session.scalar(update(Lease).where(*mine).values(sequence=Lease.sequence + 1).returning(Lease.sequence))
    return max(job.sequence + 1, leased or 0)


def until() -> ColumnElement[datetime]:
    """When the lease of a job ends, in a query of `of_running`."""
    return func.coalesce(Lease.until, Job.lease_until)


def of_running() -> Select[Job]:
    """The running jobs with their leases. Those of the release before this one are in the job's row."""
    return select(Job).outerjoin(Lease, Lease.job_id == Job.id).where(Job.state == State.RUNNING)
