"""The GPU seconds of each project by day (UTC). They outlive the jobs and their subjects."""

from sqlalchemy import BindParameter, Date, Select, cast, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ledger.models import Job, Usage

TODAY = cast(func.timezone("UTC", func.clock_timestamp()), Date)


def charge(session: Session, job: Job) -> None:
    """Add the seconds since the claim of a running job to today's usage. The caller has locked the job's row."""
    if job.claimed_at is None:  # claimed before migration 0004
        return
    taken = func.extract("epoch", func.clock_timestamp() - job.claimed_at)
    row = insert(Usage).values(project_id=job.project_id, day=TODAY, gpu_seconds=taken)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Usage.project_id, Usage.day],
            set_={"gpu_seconds": Usage.gpu_seconds + row.excluded.gpu_seconds},
        )
    )


def of_today(project_id: str | BindParameter[str]) -> Select[float]:
    """The seconds of the attempts that ended today; no row if there was none."""
    return select(Usage.gpu_seconds).where(Usage.project_id == project_id, Usage.day == TODAY)
