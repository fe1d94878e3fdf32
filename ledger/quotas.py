"""Quotas: how much of the service one project may have.

Each is judged in the transaction that makes the thing, after it is written: the project's row is locked first, so of
two transactions the second sees what the first has made. The lock comes last, and is held for a few queries only; one
that queues a job takes it near the limit only, and does not even hold it while the disk writes, see `of_jobs`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, func, select, update
from sqlalchemy.orm import Session

from ledger import uploads, usage
from ledger.compiled_statement import CompiledStatement
from ledger.jobs import Job
from ledger.projects import Project
from ledger.settings import Settings
from ledger.states import State
from ledger.subjects import Subject

DAY_SECONDS = 86_400
MARGIN = 64  # more than all programs of a service queue at one moment
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class QuotaStatus:
    """How a quota stands with what the transaction has made. One of a window begins anew after `reset` seconds."""

    name: str
    quota: int
    remaining: int
    is_exceeded: bool
    window: int | None = None
    reset: int | None = None


def of_jobs(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """For a transaction that has queued a job.

    Two things keep the project's submissions from waiting in turn for each other. The commit will not wait for the
    disk: whoever promises the job must do so (`outbox.rung`, `outbox.kept`). And `MARGIN` below the quota no lock is
    taken: only a transaction that stays open while so many others queue their jobs could exceed it.
    """
    session.flush()
    ((queued, used, left, _),) = _OF_JOBS(session, project=project_id)
    if queued > settings.max_queued_jobs - MARGIN:
        _hold(session, project_id)
        ((queued, used, left, _),) = _OF_JOBS(session, project=project_id)
    gpu = settings.max_gpu_seconds_per_day
    return [
        _of_count("queued-jobs", settings.max_queued_jobs, queued),
        QuotaStatus("gpu-seconds", gpu, max(gpu - int(used), 0), int(used) >= gpu, DAY_SECONDS, int(left)),
    ]


def of_subjects(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """For a transaction that has made a subject."""
    _hold(session, project_id)
    mine = select(func.count()).select_from(Subject).where(Subject.project_id == project_id)
    return [_of_count("subjects", settings.max_subjects, session.scalar(mine) or 0)]


def of_uploads(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """For a transaction that has announced an upload."""
    _hold(session, project_id)
    return [_of_count("pending-uploads", settings.max_pending_uploads, uploads.count_pending(session, project_id))]


def has_room(session: Session, job_id: str, settings: Settings) -> bool:
    """Whether the project of a queued job may have one more running; ask in the transaction that claims.

    No: the job waits, and the dispatcher rings for it once there is room (`rescue.ring_stranded`).
    """
    waiting = (Job.id == job_id, Job.state == State.QUEUED)
    project_id = session.scalar(select(Job.project_id).where(*waiting))
    if project_id is None:
        return True  # nothing to claim, as the claim will find
    _hold(session, project_id)
    running = select(func.count()).select_from(Job).where(Job.project_id == project_id, Job.state == State.RUNNING)
    if (session.scalar(running) or 0) < settings.max_running_jobs:
        return True
    session.execute(update(Job).where(*waiting).values(rung_at=LONG_AGO))
    return False


def full_projects(max_running: int) -> Select[str]:
    """The projects that have as many jobs running as they may."""
    running = select(Job.project_id).where(Job.state == State.RUNNING).group_by(Job.project_id)
    return running.having(func.count() >= max_running)


def _hold(session: Session, project_id: str) -> None:
    """FOR NO KEY UPDATE: rows that point at the project can still be written by others."""
    session.flush()
    session.execute(select(Project.id).where(Project.id == project_id).with_for_update(key_share=True))


def _of_count(name: str, quota: int, count: int) -> QuotaStatus:
    return QuotaStatus(name, quota, max(quota - count, 0), count > quota)


def _of_jobs() -> Select[Any]:
    """The project's queued jobs, its GPU seconds of today, those of running attempts included, and how many are left
    of the day. The commit will not wait for the disk."""
    project: BindParameter[str] = bindparam("project")
    moment = func.clock_timestamp()
    queued = select(func.count()).where(Job.project_id == project, Job.state == State.QUEUED)
    taken = func.extract("epoch", func.sum(moment - Job.claimed_at))
    running = select(taken).where(Job.project_id == project, Job.state == State.RUNNING)
    used = func.coalesce(usage.of_today(project).scalar_subquery(), 0) + func.coalesce(running.scalar_subquery(), 0)
    midnight = func.date_trunc("day", func.timezone("UTC", moment))
    passed = func.extract("epoch", func.timezone("UTC", moment) - midnight)
    unsafe = func.set_config("synchronous_commit", "off", True)  # True: for this transaction
    return select(queued.scalar_subquery(), used, DAY_SECONDS - passed, unsafe)


_OF_JOBS = CompiledStatement(_of_jobs())
