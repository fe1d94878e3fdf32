"""Attempts at jobs: the worker's operations.

A claim is one compare-and-set. It increments `epoch` and takes a lease, and every later write of the attempt checks the
epoch. The writes of a worker that lost its lease are therefore refused. A renewal carries the progress, and the
answer to the renewal is the only channel from the service to the worker.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from ledger import artefacts, job_warnings, leases, partial_results, previews, priors, transitions, webhook_bodies
from ledger.artefacts import NewArtefact
from ledger.compiled_statement import SessionOrConnection
from ledger.job_warnings import JobWarning
from ledger.models import Edit, Job
from ledger.partial_results import PartialResults, SavedCheckpoint
from ledger.states import JobKind, State
from ledger.storage import Storage


class Control(StrEnum):
    """The answer to a renewal."""

    GO_ON = "go_on"
    CANCEL = "cancel"  # the user cancelled: stop, and acknowledge with `finish_canceled`
    GIVE_WAY = "give_way"  # a short job waits: stop, keep a checkpoint, and `release` this one
    LOST = "lost"  # another attempt has the job, or it has ended: stop, and write nothing


@dataclass(frozen=True)
class Claim:
    """The right to run a job, valid while the lease is renewed."""

    job_id: str
    project_id: str
    kind: JobKind
    epoch: int
    attempt: int
    seconds_queued: float
    is_import: bool = False
    """Whether the job's prior comes from a file and not from a training."""
    traceparent: str | None = None
    """The span of the request, below which the attempt's span is."""
    began: float = field(default_factory=time.monotonic)
    """The time of the claim by the worker's monotonic clock, which no change of the time of day moves."""

    @property
    def seconds(self) -> float:
        """The seconds since the claim. Only the process that claimed the job can tell."""
        return time.monotonic() - self.began


@dataclass(frozen=True)
class Progress:
    """The progress of an attempt: `step` of `total` in its `stage`, and the newest preview that it stored."""

    stage: str
    step: int
    total: int
    details: dict[str, Any] = field(default_factory=dict)
    preview: NewArtefact | None = None


def claim(session: Session, job_id: str, worker: str, *, lease_seconds: float) -> Claim | None:
    """Claim a queued job by one compare-and-set. None: another worker has it, or it has ended."""
    job = session.scalars(
        update(Job)
        .where(Job.id == job_id, Job.state == State.QUEUED, Job.cancel_requested_at.is_(None))
        .values(
            state=State.RUNNING,
            epoch=Job.epoch + 1,
            attempt=Job.attempt + 1,
            worker=worker,
            claimed_at=func.clock_timestamp(),
            lease_until=None,
            started_at=func.coalesce(Job.started_at, func.clock_timestamp()),
        )
        .returning(Job)
    ).first()
    if job is None:
        return None
    assert job.claimed_at is not None  # noqa: S101 - just written
    transitions.record(session, job, State.RUNNING)
    leases.take(session, job, seconds=lease_seconds)
    seconds_queued = (job.claimed_at - job.queued_at).total_seconds()
    is_import = "import" in job.parameters
    return Claim(
        job.id,
        job.project_id,
        cast(JobKind, job.kind),
        job.epoch,
        job.attempt,
        seconds_queued,
        is_import,
        job.traceparent,
    )


def renew(on: SessionOrConnection, claim: Claim, progress: Progress, *, lease_seconds: float) -> Control:
    """Report progress and renew the lease; the answer says what the worker must do."""
    preview = previews.to_progress(progress.preview) if progress.preview else {}
    report = {**progress.details, "stage": progress.stage, "step": progress.step, "total": progress.total, **preview}
    is_held, cancel_requested_at = leases.renew(on, claim.job_id, claim.epoch, report, seconds=lease_seconds)
    if not is_held:
        return Control.LOST
    return Control.GO_ON if cancel_requested_at is None else Control.CANCEL


def report_last(session: Session, claim: Claim, progress: Progress, *, lease_seconds: float) -> None:
    """Write the attempt's last progress, in the transaction that ends it."""
    if _lock_held(session, claim) is not None:  # before the lease, as every program locks the job first
        renew(session, claim, progress, lease_seconds=lease_seconds)


def keep(session: Session, claim: Claim, partial: PartialResults, storage: Storage) -> bool:
    """Record what the attempt has stored, for the job's next attempt, and announce the results that are new.

    False: not the effective attempt, which announces nothing.
    """
    job = _lock_held(session, claim)
    if job is None:
        return False
    before = partial_results.read(job)
    partial_results.write(job, partial)
    if job.cancel_requested_at is None:
        for number, files in partial.not_in(before).items():
            transitions.announce(session, job, "edit.output", webhook_bodies.of_output(storage, number, files))
    return True


def keep_checkpoint(session: Session, claim: Claim, checkpoint: SavedCheckpoint) -> bool:
    """Record the training's newest checkpoint, for the job's next attempt. False: not the effective attempt."""
    job = _lock_held(session, claim)
    if job is None:
        return False
    partial_results.write_checkpoint(job, checkpoint)
    return True


def keep_snapshot(session: Session, claim: Claim, training: str, snapshot: NewArtefact) -> bool:
    """Record a snapshot of the training (`partial_results.add_snapshot`). False: not the effective attempt."""
    job = _lock_held(session, claim)
    if job is None:
        return False
    partial_results.add_snapshot(job, training, snapshot)
    return True


def warn(session: Session, claim: Claim, found: Sequence[JobWarning]) -> bool:
    """Add warnings to the job while it runs. False: not the effective attempt."""
    job = _lock_held(session, claim)
    if job is None:
        return False
    job_warnings.add(session, job, found)
    return True


def set_target_prompts(session: Session, claim: Claim, prompts: Sequence[str]) -> bool:
    """Record the target prompts that the attempt has made, as many as before. False: not the effective attempt."""
    job = _lock_held(session, claim)
    if job is None:
        return False
    session.execute(update(Edit).where(Edit.id == job.edit_id).values(target_prompts=list(prompts)))
    return True


def finish(
    session: Session,
    claim: Claim,
    new_artefacts: list[NewArtefact],
    *,
    resolved: dict[str, Any],
    metrics: dict[str, Any],
    manifest: dict[str, Any] | None = None,
    storage: Storage | None = None,
) -> bool:
    """End the job as succeeded: artefacts (verified before), prior, event and webhooks, in the session's transaction.

    `storage` signs the URLs in the webhooks, which have none without it.
    False: the attempt is not the effective one any more, or the job was cancelled. Nothing was written then.
    """
    job = _lock_held(session, claim)
    if job is None or job.cancel_requested_at is not None:
        return False
    artefacts.record(session, job.project_id, job.id, new_artefacts)
    if job.kind == "prior" and job.prior_id is not None and manifest is not None:
        adapter = next(artefact for artefact in new_artefacts if artefact.role == "adapter")
        priors.mark_ready(
            session,
            job.prior_id,
            manifest=manifest,
            adapter_key=adapter.stored.key,
            adapter_sha256=adapter.stored.sha256,
            reference_ids=resolved.get("references", ()),
        )
    job.resolved, job.metrics = resolved, metrics
    facts = webhook_bodies.of_end(storage, job.kind, new_artefacts) if storage is not None else transitions.NO_FACTS
    transitions.end(session, job, State.SUCCEEDED, facts, claim.seconds)
    return True


def finish_failed(session: Session, claim: Claim, code: str, detail: str, metrics: dict[str, Any]) -> bool:
    """End the job as failed, by an error that deserves no automatic retry. False: not the effective attempt."""
    job = _lock_held(session, claim)
    if job is None:
        return False
    job.metrics = metrics
    transitions.fail(session, job, code, detail, claim.seconds)
    return True


def finish_canceled(session: Session, claim: Claim) -> bool:
    """End a cancelled job after its worker stopped. False: not the effective attempt, or not cancelled."""
    job = _lock_held(session, claim)
    if job is None or job.cancel_requested_at is None:
        return False
    transitions.end(session, job, State.CANCELED, seconds=claim.seconds)
    return True


def release(session: Session, claim: Claim, *, charge: bool) -> bool:
    """Return the job to the queue; its checkpoint stays. A draining worker's attempt is not charged.

    A job that the user cancelled ends instead. False: not the effective attempt.
    """
    job = _lock_held(session, claim)
    if job is None:
        return False
    if job.cancel_requested_at is not None:
        transitions.end(session, job, State.CANCELED, seconds=claim.seconds)
    else:
        transitions.requeue(session, job, charge=charge, seconds=claim.seconds)
    return True


def _lock_held(session: Session, claim: Claim) -> Job | None:
    held = (Job.id == claim.job_id, Job.epoch == claim.epoch, Job.state == State.RUNNING)
    return session.scalars(select(Job).where(*held).with_for_update(of=Job)).first()
