"""A dry run: everything that a request for a job checks, without the job.

The job's rows are written, and the transaction is rolled back. A dry run therefore refuses what the request would be
refused for, quotas included.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from api.effective_settings import effective, served
from api.fields import ResponseModel
from api.quota import check_quotas
from api.service import Service
from ledger import edits, estimates, quotas, waiting
from ledger.models import Job
from ledger.states import JobKind


class DryRunBody(ResponseModel):
    """The effects that a request would have."""

    resolved: dict[str, Any]
    """All settings that the job would run with, on the base model that a live worker serves now."""

    images: int
    """Number of images that the job would generate; 0 for a training."""

    seconds: float | None
    """Estimated seconds of work on a worker, without the wait in the queue. They count towards the quota of GPU
    seconds. Null without a finished job to compare with."""

    based_on_jobs: int
    """Number of the project's finished jobs that the estimate compares with: their time for each step and image."""

    reason: str | None
    """Reason why `seconds` is null."""

    position: int | None
    """Place that the job would have among the project's queued jobs of its kind; 1 is the first. Null: over 200."""


def dry_run(
    service: Service, project_id: str, kind: JobKind, section: str, create_job: Callable[[Session], Job]
) -> DryRunBody:
    """Price the job that `create_job` adds to the session, and add nothing. Raises Problem as the request would."""
    with service.begin() as session:
        job = create_job(session)
        check_quotas(quotas.of_jobs(session, project_id, service.settings))
        place = waiting.of_jobs(session, project_id, [job], max_running=service.settings.max_running_jobs)[job.id]
        model = next(iter(served(session, kind, job.base_model)), {})
        asked = job.parameters
        settings = effective(section, model, asked.get(section, {}), asked.get("choices", {}))
        rest = {name: value for name, value in asked.items() if name != section}
        resolved = {**rest, section: settings}
        prompts = job_prompts(session, job)
        shape = {**resolved, "target_prompts": prompts}
        estimate = estimates.of_work(session, project_id, kind, section, estimates.work_of(section, shape))
        session.rollback()
    images = len(prompts) * len(asked["seeds"]) if kind == "edit" else 0
    return DryRunBody(
        resolved=resolved,
        images=images,
        seconds=estimate.seconds,
        based_on_jobs=estimate.jobs,
        reason=estimate.reason,
        position=place.position,
    )


def job_prompts(session: Session, job: Job) -> list[str]:
    """The target prompts of an edit job; none for a training."""
    edit = edits.get(session, job.project_id, job.edit_id) if job.edit_id else None
    return list(edit.target_prompts) if edit else []
