"""From a doorbell to the job's end: claim, work, store, finish. Every way out of a job is in this file."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from torch import OutOfMemoryError

from ledger import artefacts, attempts, jobs, quotas
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim
from ledger.database import UNAVAILABLE
from ledger.storage import ObjectDamaged, StorageError, attempt_prefix, job_prefix
from lipe_core.errors import (
    InvalidCaptions,
    InvalidParameters,
    InvalidPrior,
    InvalidRequest,
    InvalidSubject,
    PriorMismatch,
    TrainingDiverged,
)
from worker import edit, train
from worker.attempt import Attempt, Canceled, Draining, JobResult, Lost
from worker.captioner import CaptionerUnavailable
from worker.context import WorkerContext
from worker.gpu import TOO_LARGE, GpuOutOfMemory, free

CODES: dict[type[Exception], str] = {
    InvalidRequest: "invalid_request",
    InvalidParameters: "invalid_parameters",
    InvalidSubject: "invalid_subject",
    InvalidCaptions: "invalid_captions",
    PriorMismatch: "prior_mismatch",
    InvalidPrior: "invalid_prior",
    TrainingDiverged: "training_diverged",
    CaptionerUnavailable: "captioner_unavailable",
    GpuOutOfMemory: "gpu_out_of_memory",
    ObjectDamaged: "object_damaged",
    StorageError: "storage_unavailable",
}
"""What a job fails with, by what was raised; a subclass stands before its class."""

DATABASE_PATIENCE_SECONDS = 60.0

log = logging.getLogger(__name__)


def run_job(process: WorkerContext, job_id: str) -> None:
    """Take the job and bring it to its end; nothing if it is not there to be taken."""
    start = time.monotonic()
    _load_models(process, job_id)  # before the claim: loading cannot report, and may outlast a lease
    loading = time.monotonic() - start
    if process.draining():
        return  # the dispatcher rings for it again
    with process.begin() as session:
        if not quotas.has_room(session, job_id, process.settings):
            return
        claim = attempts.claim(session, job_id, process.name, lease_seconds=process.settings.lease_seconds)
    if claim is None:
        return
    attempt = Attempt(process.look, claim, process.settings.lease_seconds, process.draining, {"loading": loading})
    log.info("job %s: attempt %d begins", job_id, claim.attempt)
    process.gpu.reset_peak()
    all_is_kept = False
    try:
        made = (train.learn if claim.kind == "prior" else edit.paint)(process, attempt)
        all_is_kept = _succeed(process, attempt, made)
    except Draining:
        _end(process, lambda session: attempts.release(session, claim, charge=False))
    except Canceled:
        _end(process, lambda session: attempts.finish_canceled(session, claim))
    except Lost:
        pass
    except UNAVAILABLE:
        log.exception("job %s: the database is away; the reaper gives the job to another attempt", job_id)
    except OutOfMemoryError:  # outside the rungs of `leaner`
        _fail(process, attempt, GpuOutOfMemory(TOO_LARGE))
    except Exception as error:
        _fail(process, attempt, error)
    if not process.gpu.is_usable():
        raise SystemExit("the GPU is broken for this process: a new one must take the next job")
    free()
    if not all_is_kept:
        _delete_in_vain(process, claim)
    with suppress(*UNAVAILABLE):
        train.forget_checkpoints(process)
    log.info("job %s: attempt %d ends", job_id, claim.attempt)


def _load_models(process: WorkerContext, job_id: str) -> None:
    base = process.gpu.base_model()
    if process.caption_model is None:
        return
    with process.begin() as session:
        is_needed = jobs.needs_captions(session, job_id)
    if is_needed:
        with suppress(Exception):  # the attempt meets it again, and there it becomes the job's
            process.caption_model.load(base)


def _succeed(process: WorkerContext, attempt: Attempt, made: JobResult) -> bool:
    """Whether all that was ever stored for the job is kept, for sure."""
    claim = attempt.claim
    prefix = attempt_prefix(claim.project_id, claim.job_id, claim.epoch)
    puts = [partial(process.storage.put, prefix, file.name, file.content, file.content_type) for file in made.files]
    stored: list[NewArtefact] = []
    with attempt.stage("uploading"):
        for file, put in zip(made.files, attempt.insist_on_all(puts), strict=True):
            attempt.report("uploading", len(stored), len(made.files))
            stored.append(NewArtefact(file.role, file.name, file.content_type, put, file.details))
    metrics = _metrics(process, attempt)

    def finish(session: Session) -> bool:
        files = [*stored, *made.previews]
        succeeds = attempts.finish(
            session, claim, files, resolved=made.resolved, metrics=metrics, manifest=made.manifest
        )
        if not succeeds:
            attempts.finish_canceled(session, claim)
        return succeeds

    return _end(process, finish) and claim.epoch == 1 and attempt.preview is None


def _fail(process: WorkerContext, attempt: Attempt, error: Exception) -> None:
    code = next((code for kind, code in CODES.items() if isinstance(error, kind)), "internal_error")
    if code == "internal_error":
        log.exception("job %s failed", attempt.claim.job_id)
        detail = f"an unexpected {type(error).__name__}; the worker's log tells more"
    else:
        log.warning("job %s failed: %s: %s", attempt.claim.job_id, code, error)
        detail = str(error)
    metrics = _metrics(process, attempt)
    _end(process, lambda session: attempts.finish_failed(session, attempt.claim, code, detail, metrics))


def _end(process: WorkerContext, write: Callable[[Session], bool]) -> bool:
    """The job's last write, through a short outage of the database. After a long one the reaper has the job."""
    deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
    while True:
        try:
            with process.begin() as session:
                written = write(session)
            return written
        except UNAVAILABLE:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _metrics(process: WorkerContext, attempt: Attempt) -> dict[str, Any]:
    return {
        "seconds_queued": round(attempt.claim.seconds_queued, 3),
        **{f"seconds_{stage}": round(seconds, 3) for stage, seconds in attempt.seconds.items()},
        "peak_memory_bytes": process.gpu.peak_memory(),
        "worker": process.name,
        "attempt": attempt.claim.attempt,
    }


def _delete_in_vain(process: WorkerContext, claim: Claim) -> None:
    """Delete what attempts stored and no row names."""
    with suppress(*UNAVAILABLE, StorageError):
        # Listed before the row is read: an attempt that is claimed after that cannot have stored any of these.
        stored = list(process.storage.keys(job_prefix(claim.project_id, claim.job_id)))
        with process.begin() as session:
            job = jobs.get(session, claim.project_id, claim.job_id)
            made = {artefact.key for artefact in artefacts.of_job(session, claim.project_id, claim.job_id)}
        newer = job is not None and job.epoch != claim.epoch
        kept = attempt_prefix(claim.project_id, claim.job_id, job.epoch) if job is not None and newer else None
        for key in stored:
            # A commit whose answer was lost is still a success: only the rows know. And a killed attempt cleans up
            # nothing itself.
            if key not in made and (kept is None or not key.startswith(kept)):
                process.storage.delete(key)
