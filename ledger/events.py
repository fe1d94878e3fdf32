"""Events of a job, in order, for replay: each has a sequence number that increases within its job.

A change of state is a row and stays: each attempt writes a few. Progress is not a row: the job holds its latest
progress under a number of the same sequence. So progress cannot fill the table, and a reader that reconnects gets the
newest progress in its place instead of thousands of old reports.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Event


@dataclass(frozen=True)
class JobEvent:
    """One event as a reader gets it; `type` is for example "prior.running" or "edit.progress"."""

    sequence: int
    type: str
    at: datetime
    data: dict[str, Any]
    terminal: bool


def after(session: Session, project_id: str, job_id: str, sequence: int) -> list[JobEvent]:
    """The job's changes of state with a number greater than `sequence`, oldest first."""
    mine = (Event.project_id == project_id, Event.job_id == job_id, Event.sequence > sequence)
    rows = session.scalars(select(Event).where(*mine).order_by(Event.sequence))
    return [JobEvent(row.sequence, row.type, row.created_at, row.data, row.terminal) for row in rows]
