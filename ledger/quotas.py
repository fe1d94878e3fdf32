"""Quotas: limits on the jobs, subjects, uploads, images, webhook endpoints, studies and GPU seconds of one project.

A quota is checked in the transaction that creates the row, after the row is written. The project's row is locked first,
so that the second of two concurrent transactions counts the row of the first. The lock is taken last and is held for a
few queries only. A transaction that queues a job takes it only near the limit, see `of_jobs`.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Integer, Select, bindparam, func, select
from sqlalchemy.orm import Session

from ledger import uploads, usage
from ledger.compiled_statement import CompiledStatement
from ledger.models import Image, Job, Project, Study, Subject, WebhookEndpoint
from ledger.settings import Settings
from ledger.states import State

DAY_SECONDS = 86_400
MARGIN = 64  # more jobs than all programs of a service queue at the same time


@dataclass(frozen=True)
class QuotaStatus:
    """A quota, counted with the transaction's own rows. A quota over a window starts again after `reset` seconds."""

    name: str
    quota: int
    remaining: int
    is_exceeded: bool
    window: int | None = None
    reset: int | None = None


def of_jobs(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """The quotas of a transaction that has queued a job.

    If at least `MARGIN` jobs remain, no lock is taken, so that a project's submissions do not wait for each other. The
    quota could then be exceeded only while `MARGIN` other transactions queue a job before this one commits.
    """
    session.flush()
    queue, gpu = _job_statuses(session, project_id, settings)
    if queue.remaining < MARGIN:
        _lock_project(session, project_id)
        queue, gpu = _job_statuses(session, project_id, settings)
    return [queue, gpu]


def of_subjects(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """The quota of a transaction that has created a subject."""
    _lock_project(session, project_id)
    return [_of_count("subjects", settings.max_subjects, _count(session, Subject, project_id))]


def of_uploads(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """The quota of a transaction that has created an upload."""
    _lock_project(session, project_id)
    return [_of_count("pending-uploads", settings.max_pending_uploads, uploads.count_pending(session, project_id))]


def of_images(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """The quotas of a transaction that has created an image."""
    _lock_project(session, project_id)
    return _image_statuses(session, project_id, settings)


def of_endpoints(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """The quota of a transaction that has created a webhook endpoint."""
    _lock_project(session, project_id)
    count = _count(session, WebhookEndpoint, project_id)
    return [_of_count("webhook-endpoints", settings.max_webhook_endpoints, count)]


def of_studies(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """The quota of a transaction that has created a study."""
    _lock_project(session, project_id)
    return [_of_count("studies", settings.max_studies, _count(session, Study, project_id))]


def of_project(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    """All quotas of the project, to show: no lock is taken, and nothing is refused."""
    return [
        *_job_statuses(session, project_id, settings),
        _of_count("subjects", settings.max_subjects, _count(session, Subject, project_id)),
        *_image_statuses(session, project_id, settings),
        _of_count("pending-uploads", settings.max_pending_uploads, uploads.count_pending(session, project_id)),
        _of_count("webhook-endpoints", settings.max_webhook_endpoints, _count(session, WebhookEndpoint, project_id)),
        _of_count("studies", settings.max_studies, _count(session, Study, project_id)),
    ]


def max_running(session: Session, project_id: str, settings: Settings) -> int:
    """How many jobs of the project may run at once."""
    own = session.scalar(select(Project.max_running_jobs).where(Project.id == project_id))
    return settings.max_running_jobs if own is None else own


def count_active(session: Session, project_id: str) -> tuple[int, int]:
    """The numbers of the project's queued and running jobs."""
    active = (Job.project_id == project_id, Job.state.in_((State.QUEUED, State.RUNNING)))
    rows = session.execute(select(Job.state, func.count()).where(*active).group_by(Job.state))
    counts = {State(state): count for state, count in rows}
    return counts.get(State.QUEUED, 0), counts.get(State.RUNNING, 0)


def allows_running(session: Session, project_id: str, max_running: int) -> bool:
    """Whether the project has at most so many running jobs, with those that the session's transaction has claimed."""
    _lock_project(session, project_id)
    running = select(func.count()).select_from(Job).where(Job.project_id == project_id, Job.state == State.RUNNING)
    return (session.scalar(running) or 0) <= max_running


def _lock_project(session: Session, project_id: str) -> None:
    """Lock with FOR NO KEY UPDATE: other transactions can still write rows that refer to the project."""
    session.flush()
    session.execute(select(Project.id).where(Project.id == project_id).with_for_update(key_share=True))


def _job_statuses(session: Session, project_id: str, settings: Settings) -> tuple[QuotaStatus, QuotaStatus]:
    defaults = {"max_queued": settings.max_queued_jobs, "max_gpu_seconds": settings.max_gpu_seconds_per_day}
    ((queued, used, left, most, gpu),) = _OF_JOBS(session, project=project_id, **defaults)
    return (
        _of_count("queued-jobs", most, queued),
        QuotaStatus("gpu-seconds", gpu, max(gpu - int(used), 0), int(used) >= gpu, DAY_SECONDS, int(left)),
    )


def _image_statuses(session: Session, project_id: str, settings: Settings) -> list[QuotaStatus]:
    mine = select(func.count(), func.coalesce(func.sum(Image.size), 0)).where(Image.project_id == project_id)
    count, size = session.execute(mine).one()
    return [
        _of_count("images", settings.max_images, count),
        _of_count("image-bytes", settings.max_image_bytes, int(size)),
    ]


def _count(session: Session, table: type[Subject | WebhookEndpoint | Study], project_id: str) -> int:
    return session.scalar(select(func.count()).select_from(table).where(table.project_id == project_id)) or 0


def _of_count(name: str, quota: int, count: int) -> QuotaStatus:
    return QuotaStatus(name, quota, max(quota - count, 0), count > quota)


def _of_jobs() -> Select[Any]:
    """One row: the project's queued jobs, its GPU seconds of today (with running attempts), the seconds left today,
    and its quotas of queued jobs and GPU seconds.
    """
    project: BindParameter[str] = bindparam("project")
    moment = func.clock_timestamp()
    queued = select(func.count()).where(Job.project_id == project, Job.state == State.QUEUED)
    taken = func.greatest(func.extract("epoch", func.sum(moment - Job.claimed_at)), 0)  # the clock may be set back
    running = select(taken).where(Job.project_id == project, Job.state == State.RUNNING)
    used = func.coalesce(usage.of_today(project).scalar_subquery(), 0) + func.coalesce(running.scalar_subquery(), 0)
    midnight = func.date_trunc("day", func.timezone("UTC", moment))
    passed = func.extract("epoch", func.timezone("UTC", moment) - midnight)
    return select(
        queued.scalar_subquery(),
        used,
        DAY_SECONDS - passed,
        func.coalesce(Project.max_queued_jobs, bindparam("max_queued", type_=Integer)),
        func.coalesce(Project.max_gpu_seconds_per_day, bindparam("max_gpu_seconds", type_=Integer)),
    ).where(Project.id == project)


_OF_JOBS = CompiledStatement(_of_jobs())
