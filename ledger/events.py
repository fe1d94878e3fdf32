"""What happened to a job, in order, for replay: each event has a number that only grows within its job.

Changes of state are rows and stay: a handful for each attempt. Progress is no row, however often a worker reports it:
the job holds its latest progress under a number of the same sequence, so nothing can flood the table, and a reader
that was away gets the newest one, in its place, instead of thousands of old ones.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.columns import Moment, ProjectId
from ledger.database import Row


@dataclass(frozen=True)
class JobEvent:
    """One event as a reader sees it; `type` is such as "prior.running" or "edit.progress"."""

    sequence: int
    type: str
    at: datetime
    data: dict[str, Any]
    terminal: bool


class Event(Row):
    """A change of state. The partial unique index holds the promise of exactly one terminal event."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("job_id", "sequence"),
        Index("uq_events_job_id_terminal", "job_id", unique=True, postgresql_where=text("terminal")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[ProjectId]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    sequence: Mapped[int]
    type: Mapped[str]
    data: Mapped[dict[str, Any]]
    terminal: Mapped[bool]
    created_at: Mapped[Moment]


def after(session: Session, project_id: str, job_id: str, sequence: int) -> list[JobEvent]:
    """The job's changes of state with a number above `sequence`, oldest first."""
    mine = (Event.project_id == project_id, Event.job_id == job_id, Event.sequence > sequence)
    rows = session.scalars(select(Event).where(*mine).order_by(Event.sequence))
    return [JobEvent(row.sequence, row.type, row.created_at, row.data, row.terminal) for row in rows]
