"""How many seconds a project's jobs have held a worker, day by day (UTC). It survives the jobs and their subjects."""

from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, Date, Double, ForeignKey, Select, cast, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.database import Row

if TYPE_CHECKING:
    from ledger.jobs import Job

TODAY = cast(func.timezone("UTC", func.clock_timestamp()), Date)


class Usage(Row):
    """One project's day."""

    __tablename__ = "usage"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    gpu_seconds: Mapped[float] = mapped_column(Double)


def charge(session: Session, job: "Job") -> None:
    """Add what a running job has taken since its claim, on the day on which that ends. The caller holds its row."""
    if job.claimed_at is None:  # claimed before this was written down
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
    """The seconds of the attempts that ended today; no row if none did."""
    return select(Usage.gpu_seconds).where(Usage.project_id == project_id, Usage.day == TODAY)
