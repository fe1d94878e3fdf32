"""Why queued jobs wait.

A position counts jobs of the same project only: the queue is shared, but a project must not infer the jobs of others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from ledger import workers
from ledger.models import Job, Project
from ledger.states import JOB_KINDS, State

Reason = Literal["no_worker_serves_it", "no_worker_has_its_base_model", "quota", "jobs_before_it", "workers_busy"]
MAX_POSITION = 200
"""Positions are counted up to here, so that the query reads no more rows in a long queue."""


@dataclass(frozen=True)
class Waiting:
    """Why a job waits. `position`: 1 is the project's first queued job of this kind; None: beyond MAX_POSITION."""

    reason: Reason
    position: int | None


def of_jobs(session: Session, project_id: str, jobs: Sequence[Job], *, max_running: int) -> dict[str, Waiting]:
    """The queued ones among the project's jobs, by id, with their reasons. One query; none if no job is queued."""
    queued = [job.id for job in jobs if job.status is State.QUEUED]
    if not queued:
        return {}
    rows = session.execute(_query(project_id, queued))
    return {row.id: Waiting(_reason(row, max_running), row.position) for row in rows}


def _query(project_id: str, job_ids: Sequence[str]) -> Select[Any]:
    """Rows: id, position, whether a live worker can do it and takes its kind, the project's running jobs, its quota."""
    mine = select(Job.id, Job.kind, Job.rank_at).where(Job.project_id == project_id, Job.state == State.QUEUED)
    first = mine.order_by(Job.rank_at, Job.id).limit(MAX_POSITION).subquery()
    place = func.row_number().over(partition_by=first.c.kind, order_by=(first.c.rank_at, first.c.id))
    ranked = select(first.c.id, place.label("position")).subquery()
    running = select(func.count()).where(Job.project_id == project_id, Job.state == State.RUNNING).scalar_subquery()
    quota = select(Project.max_running_jobs).where(Project.id == project_id).scalar_subquery()
    is_served = case(*((Job.kind == kind, workers.is_served(kind, Job.base_model)) for kind in JOB_KINDS))
    takes_kind = case(*((Job.kind == kind, workers.takes(kind)) for kind in JOB_KINDS))
    return (
        select(
            Job.id,
            ranked.c.position,
            is_served.label("is_served"),
            takes_kind.label("takes_kind"),
            running.label("running"),
            quota.label("quota"),
        )
        .outerjoin(ranked, ranked.c.id == Job.id)
        .where(Job.project_id == project_id, Job.id.in_(job_ids))
    )


def _reason(row: Any, max_running: int) -> Reason:
    if not row.is_served:
        return "no_worker_has_its_base_model" if row.takes_kind else "no_worker_serves_it"
    if row.running >= (max_running if row.quota is None else row.quota):
        return "quota"
    return "workers_busy" if row.position == 1 else "jobs_before_it"
