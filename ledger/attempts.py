"""Attempts at jobs: the worker's side.

A claim is one compare-and-set: it bumps `epoch` and takes a lease, and every later write of that attempt carries the
epoch. Whoever was thought dead and comes back finds its writes refused. The lease is renewed by progress alone, and the
renewal's answer is the only way in which a worker is told anything.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Interval, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from ledger import artefacts, previews, priors, transitions
from ledger.artefacts import NewArtefact
from ledger.compiled_statement import CompiledStatement, Where
from ledger.jobs import Job, Kind
from ledger.states import State


class Control(StrEnum):
    """What a renewal answers to the worker."""

    GO_ON = "go_on"
    CANCEL = "cancel"  # the user cancelled: stop, acknowledge with `finish_canceled`
    LOST = "lost"  # the job is another attempt's, or over: stop, write nothing


@dataclass(frozen=True)
class Claim:
    """The right to work on a job, for as long as the lease is renewed."""

    job_id: str
    project_id: str
    kind: Kind
    epoch: int
    attempt: int
    seconds_queued: float


@dataclass(frozen=True)
class Progress:
    """How far an attempt is: `stage`, then `step` of `total` in it; `preview` is the newest that it stored."""

    stage: str
    step: int
    total: int
    details: dict[str, Any] = field(default_factory=dict)
    preview: NewArtefact | None = None


def claim(session: Session, job_id: str, worker: str, *, lease_seconds: float) -> Claim | None:
    """Take a queued job: one compare-and-set. None: somebody else has it, or it is over."""
    job = session.scalars(
        update(Job)
        .where(Job.id == job_id, Job.state == State.QUEUED, Job.cancel_requested_at.is_(None))
        .values(
            state=State.RUNNING,
            epoch=Job.epoch + 1,
            attempt=Job.attempt + 1,
            worker=worker,
            claimed_at=func.clock_timestamp(),
            lease_until=func.clock_timestamp() + timedelta(seconds=lease_seconds),
            started_at=func.coalesce(Job.started_at, func.clock_timestamp()),
        )
        .returning(Job)
    ).first()
    if job is None:
        return None
    assert job.claimed_at is not None  # noqa: S101 - just written
    transitions.record(session, job, State.RUNNING)
    seconds_queued = (job.claimed_at - job.queued_at).total_seconds()
    return Claim(job.id, job.project_id, job.kind, job.epoch, job.attempt, seconds_queued)  # type: ignore[arg-type]


_RENEW = CompiledStatement(
    update(Job)
    .where(Job.id == bindparam("job"), Job.epoch == bindparam("attempt_epoch"), Job.state == State.RUNNING)
    .values(
        lease_until=func.clock_timestamp() + bindparam("lease", type_=Interval),
        sequence=Job.sequence + 1,
        progress_sequence=Job.sequence + 1,
        progress=bindparam("done", type_=JSONB),
    )
    .returning(Job.cancel_requested_at)
)


def renew(where: Where, claim: Claim, progress: Progress, *, lease_seconds: float) -> Control:
    """Report progress and keep the lease; the answer says what the worker must do."""
    noted = previews.noted(progress.preview) if progress.preview else {}
    done = {**progress.details, "stage": progress.stage, "step": progress.step, "total": progress.total, **noted}
    lease = timedelta(seconds=lease_seconds)
    for (cancel_requested_at,) in _RENEW(where, job=claim.job_id, attempt_epoch=claim.epoch, lease=lease, done=done):
        return Control.GO_ON if cancel_requested_at is None else Control.CANCEL
    return Control.LOST


def finish(
    session: Session,
    claim: Claim,
    made: list[NewArtefact],
    *,
    resolved: dict[str, Any],
    metrics: dict[str, Any],
    manifest: dict[str, Any] | None = None,
) -> bool:
    """The job succeeded: its verified artefacts, the prior, the event and the webhooks, in one transaction.

    False: the attempt is not the effective one any more, or the job was cancelled; nothing was written.
    """
    job = _lock_held(session, claim)
    if job is None or job.cancel_requested_at is not None:
        return False
    artefacts.record(session, job.project_id, job.id, made)
    if job.kind == "prior" and job.prior_id is not None and manifest is not None:
        adapter = next(artefact for artefact in made if artefact.role == "adapter")
        priors.mark_ready(
            session,
            job.prior_id,
            manifest=manifest,
            adapter_key=adapter.stored.key,
            adapter_sha256=adapter.stored.sha256,
        )
    job.resolved, job.metrics = resolved, metrics
    transitions.end(session, job, State.SUCCEEDED)
    return True


def finish_failed(session: Session, claim: Claim, code: str, detail: str, metrics: dict[str, Any]) -> bool:
    """The attempt found an error that another attempt would meet again. False: not the effective attempt."""
    job = _lock_held(session, claim)
    if job is None:
        return False
    job.metrics = metrics
    transitions.fail(session, job, code, detail)
    return True


def finish_canceled(session: Session, claim: Claim) -> bool:
    """The worker has stopped, as the user wished. False: not the effective attempt."""
    job = _lock_held(session, claim)
    if job is None or job.cancel_requested_at is None:
        return False
    transitions.end(session, job, State.CANCELED)
    return True


def release(session: Session, claim: Claim, *, charge: bool) -> bool:
    """Give a job back to the queue, its checkpoint kept; a draining worker's attempt is not charged.

    A job that the user cancelled meanwhile ends. False: not the effective attempt.
    """
    job = _lock_held(session, claim)
    if job is None:
        return False
    if job.cancel_requested_at is not None:
        transitions.end(session, job, State.CANCELED)
    else:
        transitions.requeue(session, job, charge=charge)
    return True


def _lock_held(session: Session, claim: Claim) -> Job | None:
    held = (Job.id == claim.job_id, Job.epoch == claim.epoch, Job.state == State.RUNNING)
    return session.scalars(select(Job).where(*held).with_for_update()).first()
