"""The time of a job, estimated from the project's finished ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Job
from ledger.states import JobKind, State

MAX_JOBS = 20
_WAITING = ("seconds_queued", "seconds_loading")


@dataclass(frozen=True)
class Estimate:
    """Seconds of work on the worker, or None with the `reason`. `jobs` finished jobs are its basis."""

    seconds: float | None
    jobs: int
    reason: str | None = None


def of_work(session: Session, project_id: str, kind: JobKind, section: str, work: float) -> Estimate:
    """The estimate for a job of `work` units, see `work_of`: the median rate of the newest comparable jobs."""
    newest = (
        select(Job.resolved, Job.metrics)
        .where(Job.project_id == project_id, Job.state == State.SUCCEEDED, Job.kind == kind)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(MAX_JOBS)
    )
    rates = []
    for resolved, metrics in session.execute(newest):
        spent = sum(value for name, value in metrics.items() if name.startswith("seconds_") and name not in _WAITING)
        if spent and (done := work_of(section, resolved)):
            rates.append(spent / done)
    if not rates:
        return Estimate(None, 0, f"the project has no finished job with {section} among its newest {MAX_JOBS}")
    return Estimate(round(median(rates) * work, 1), len(rates))


def work_of(section: str, resolved: Mapping[str, Any]) -> float:
    """The settings' steps times the number of images; 0 for settings of another section."""
    settings = resolved.get(section) or {}
    steps = sum(value for name, value in settings.items() if name == "steps" or name.endswith("_steps"))
    return float(steps * len(resolved.get("target_prompts") or [""]) * len(resolved.get("seeds") or [0]))
