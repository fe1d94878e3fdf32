"""The GPU seconds of each project by day (UTC). They outlive the jobs and their subjects."""

from datetime import date
from typing import NamedTuple

from sqlalchemy import BindParameter, Date, Double, Select, cast, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ledger import shares
from ledger.models import Job, KindUsage, Project, Usage

TODAY = cast(func.timezone("UTC", func.clock_timestamp()), Date)


def charge(session: Session, job: Job, seconds: float | None = None) -> None:
    """Add the seconds since the claim of a running job to today's usage and to its project's share.

    The caller has locked the job's row.

    `seconds` is the worker's own measure. Without it, the database's clock counts, which may have been set back.
    """
    if job.claimed_at is None:  # claimed before migration 0004
        return
    since_claim = func.extract("epoch", func.clock_timestamp() - job.claimed_at)
    taken = func.greatest(since_claim if seconds is None else literal(seconds, Double), 0.0)
    shares.charge(session, job.project_id, taken)
    of_kind = insert(KindUsage).values(
        project_id=job.project_id, day=TODAY, kind=job.kind, attempts=1, gpu_seconds=taken
    )
    session.execute(
        of_kind.on_conflict_do_update(
            index_elements=[KindUsage.project_id, KindUsage.day, KindUsage.kind],
            set_={
                "attempts": KindUsage.attempts + 1,
                "gpu_seconds": KindUsage.gpu_seconds + of_kind.excluded.gpu_seconds,
            },
        )
    )
    row = insert(Usage).values(project_id=job.project_id, day=TODAY, gpu_seconds=taken)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Usage.project_id, Usage.day],
            set_={"gpu_seconds": Usage.gpu_seconds + row.excluded.gpu_seconds},
        )
    )


class UsageOfDay(NamedTuple):
    """The ended attempts and GPU seconds of one project, day (UTC) and kind of job."""

    day: date
    project_id: str
    project: str
    kind: str
    attempts: int
    gpu_seconds: float


def report(session: Session, *, since: date | None = None, until: date | None = None) -> list[UsageOfDay]:
    """The usage of all projects from `since` to `until`, both included, oldest day first. None: no limit."""
    query = (
        select(KindUsage.day, Project.id, Project.name, KindUsage.kind, KindUsage.attempts, KindUsage.gpu_seconds)
        .join(Project, Project.id == KindUsage.project_id)
        .order_by(KindUsage.day, Project.name, Project.id, KindUsage.kind)
    )
    if since is not None:
        query = query.where(KindUsage.day >= since)
    if until is not None:
        query = query.where(KindUsage.day <= until)
    return [UsageOfDay(*row) for row in session.execute(query)]


def of_today(project_id: str | BindParameter[str]) -> Select[float]:
    """The seconds of the attempts that ended today; no row if there was none."""
    return select(Usage.gpu_seconds).where(Usage.project_id == project_id, Usage.day == TODAY)
