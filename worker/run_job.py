"""One job from the claim to its end: work, store, finish. Every outcome of a job is in this file."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from psycopg import Connection
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars
from torch import OutOfMemoryError

from ledger import artefacts, attempts, jobs, partial_results
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim
from ledger.database import UNAVAILABLE
from ledger.states import JobKind
from ledger.storage import StorageError, attempt_prefix, job_prefix
from ledger.tracing import trace_names
from lipe_core.memory import free_memory
from worker import captions, checkpoints, edit, find_mask, train
from worker.attempt import Attempt, Canceled, ClaimLost, Draining, start_in_thread
from worker.context import WorkerContext
from worker.drain import drain_of
from worker.gpu import TOO_LARGE, GpuOutOfMemory
from worker.import_prior import import_prior
from worker.job_errors import DISK_FULL, INTERNAL, STUCK, code_of
from worker.job_result import JobResult

Result = TypeVar("Result")
DATABASE_RETRY_SECONDS = 60.0
RELEASE_SECONDS = 4.0

log = logging.getLogger(__name__)


def at_once(end: Callable[[], None]) -> None:
    """Run the end of a job in this thread."""
    end()


def run_job(
    context: WorkerContext,
    claim: Claim,
    gives_way: Callable[[Connection], bool] = lambda _: False,
    run_end: Callable[[Callable[[], None]], None] = at_once,
) -> bool:
    """Run the claimed job to its end, or until `gives_way` returns True. Returns whether it has given way.

    `run_end` gets the end of an edit, which needs no GPU: its results are stored, under its lease as before. It may run
    it in another thread, while this one runs the next job.
    """
    names = {"job_id": claim.job_id, "attempt": claim.attempt}
    with (
        bound_contextvars(**names, **trace_names(claim.traceparent)),
        context.tracing.span(f"job {claim.kind}", claim.traceparent, kind=claim.kind, **names),
    ):
        return _run_attempt(context, claim, gives_way, run_end)


def _run_attempt(
    context: WorkerContext,
    claim: Claim,
    gives_way: Callable[[Connection], bool],
    run_end: Callable[[Callable[[], None]], None],
) -> bool:
    settings, job_id = context.settings, claim.job_id
    attempt = Attempt(
        context.autocommit,
        claim,
        settings.lease_seconds,
        drain_of(claim.kind, context.draining, settings.drain_seconds),
        max_seconds=settings.max_job_seconds,
        gives_way=gives_way,
        on_renewal=context.metrics.count_renewal,
        on_loaded=context.prefetched.loaded,
        tracing=context.tracing,
    )
    context.metrics.queue_seconds.labels(claim.kind).observe(claim.seconds_queued)
    log.info("job %s: attempt %d begins", job_id, claim.attempt)
    context.gpu.reset_peak()
    if claim.kind not in ("edit", "mask"):
        context.gpu.free_kept()  # a training and a captioner need the memory
    with ExitStack() as stack:
        stack.enter_context(attempt.lease_kept(settings.stuck_seconds, partial(_end_stuck_process, context, attempt)))
        made = _guarded(context, attempt, partial(_work, context, attempt))
        attempt.peak_memory = context.gpu.peak_memory()
        lease = stack.pop_all()
    is_usable = context.gpu.is_usable()
    free_memory()
    end = partial(copy_context().run, _end, context, attempt, lease, made)  # in any thread: the names of its log lines
    (run_end if claim.kind == "edit" and is_usable else at_once)(end)
    if not is_usable:
        raise SystemExit("the GPU is broken for this process: a new one must take the next job")
    return attempt.has_given_way


def _work(context: WorkerContext, attempt: Attempt) -> JobResult:
    """The part of the attempt that uses the GPU."""
    claim = attempt.claim
    work: dict[JobKind, Callable[[WorkerContext, Attempt], JobResult]] = {
        "prior": import_prior if claim.is_import else train.learn,
        "edit": edit.make_edits,
        "captions": captions.write_captions,
        "mask": find_mask.find_mask,
    }
    return work[claim.kind](context, attempt)


def _end(context: WorkerContext, attempt: Attempt, lease: ExitStack, made: JobResult | None) -> None:
    """Store the results and write the outcome, unless it is written, and clean up."""
    has_no_orphans: bool | None = False
    with lease:
        if made is not None:
            has_no_orphans = _guarded(context, attempt, lambda: _succeed(context, attempt, made.whole()))
    context.metrics.count_attempt(attempt.claim.kind, attempt.seconds)
    if not has_no_orphans:
        _delete_orphans(context, attempt.claim)
    checkpoints.forget(context)
    log.info("job %s: attempt %d ends", attempt.claim.job_id, attempt.claim.attempt)


def _guarded(context: WorkerContext, attempt: Attempt, act: Callable[[], Result]) -> Result | None:
    """The result of a part of the attempt, or None if it stopped or failed, which is then the job's outcome."""
    claim = attempt.claim
    try:
        return act()
    except Draining:
        _release(context, attempt)
    except Canceled:
        _write(context, attempt, lambda session: attempts.finish_canceled(session, claim))
    except ClaimLost:
        pass
    except UNAVAILABLE:
        log.exception("job %s: the database is unavailable; the reaper requeues the job", claim.job_id)
    except OutOfMemoryError:  # raised outside `with_memory_fallbacks`
        _fail(context, attempt, GpuOutOfMemory(TOO_LARGE))
    except Exception as error:
        _fail(context, attempt, error)
    return None


def _release(context: WorkerContext, attempt: Attempt) -> None:
    """Return the job to the queue. A process that drains ends soon, even if the database does not answer."""
    release = partial(_write, context, attempt, lambda session: attempts.release(session, attempt.claim, charge=False))
    if not context.draining():
        release()
        return
    try:
        start_in_thread(release).result(RELEASE_SECONDS)
    except TimeoutError:
        log.warning("job %s: the database does not answer; the reaper requeues the job", attempt.claim.job_id)
        os._exit(1)  # a connection that waits for an answer would keep the process


def _succeed(context: WorkerContext, attempt: Attempt, result: JobResult) -> bool:
    """Store the files and end the job. True if it succeeded and certainly left no orphaned objects."""
    claim = attempt.claim
    prefix = attempt_prefix(claim.project_id, claim.job_id, claim.epoch)
    puts = [partial(context.storage.put, prefix, file.name, file.content, file.content_type) for file in result.files]
    stored: list[NewArtefact] = []
    if result.files:
        with attempt.stage("uploading"):
            for file, put in zip(result.files, attempt.retry_storage_all(puts), strict=True):
                attempt.report("uploading", len(stored), len(result.files))
                stored.append(NewArtefact(file.role, file.name, file.content_type, put, file.details))
    metrics = _metrics(context, attempt)

    def finish(session: Session) -> bool:
        if result.partial is not None:
            attempts.keep(session, claim, result.partial, context.storage)
        has_succeeded = attempts.finish(
            session,
            claim,
            [*stored, *result.stored],
            resolved=result.resolved,
            metrics=metrics,
            manifest=result.manifest,
            storage=context.storage,
        )
        if not has_succeeded:
            attempts.finish_canceled(session, claim)
        return has_succeeded

    return (
        _write(context, attempt, finish) and claim.epoch == 1 and attempt.preview is None and not attempt.leaves_objects
    )


def _fail(context: WorkerContext, attempt: Attempt, error: Exception) -> None:
    code = code_of(error)
    if code is None:
        log.exception("job %s failed", attempt.claim.job_id)
        code, detail = INTERNAL, f"an unexpected {type(error).__name__}; the worker's log has the details"
    elif code == DISK_FULL:
        log.exception("job %s failed: this worker's disk is full", attempt.claim.job_id)
        detail = "the disk of the worker is full: the operator must free space; then retry the job"
    else:
        log.warning("job %s failed: %s: %s", attempt.claim.job_id, code, error)
        detail = str(error)
    metrics = _metrics(context, attempt)
    _write(context, attempt, lambda session: attempts.finish_failed(session, attempt.claim, code, detail, metrics))


def _end_stuck_process(context: WorkerContext, attempt: Attempt, reason: str) -> None:
    """Fail the job as stuck and end this process. Called by the lease's thread.

    The engine hangs in native code or in a system call, where no exception reaches it. Only the end of the process
    frees the GPU; Celery then starts a new one. The job is not requeued: the next attempt would probably hold another
    worker for as long. The user can retry it.
    """
    log.error("job %s: %s; this process ends", attempt.claim.job_id, reason)
    try:
        # Without the GPU's metrics: a call to a GPU that hangs would hang as well.
        _write(
            context,
            attempt,
            lambda session: attempts.finish_failed(session, attempt.claim, STUCK, reason, _times(context, attempt)),
        )
    finally:
        os._exit(1)


def _write(context: WorkerContext, attempt: Attempt, write: Callable[[Session], bool]) -> bool:
    """Write the job's last change with its last progress, and retry it during a short outage of the database.

    After a long outage it raises; the reaper then requeues the job.
    """
    deadline = time.monotonic() + DATABASE_RETRY_SECONDS
    while True:
        try:
            with context.begin() as session:
                attempts.report_last(
                    session, attempt.claim, attempt.latest, lease_seconds=context.settings.lease_seconds
                )
                written = write(session)
            return written
        except UNAVAILABLE:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _metrics(context: WorkerContext, attempt: Attempt) -> dict[str, Any]:
    peak = attempt.peak_memory if attempt.peak_memory is not None else context.gpu.peak_memory()
    return {**_times(context, attempt), "peak_memory_bytes": peak}


def _times(context: WorkerContext, attempt: Attempt) -> dict[str, Any]:
    return {
        "seconds_queued": round(attempt.claim.seconds_queued, 3),
        **{f"seconds_{stage}": round(seconds, 3) for stage, seconds in attempt.seconds.items()},
        "worker": context.name,
        "attempt": attempt.claim.attempt,
    }


def _delete_orphans(context: WorkerContext, claim: Claim) -> None:
    """Delete the job's objects that no row references, except those of a newer attempt.

    A job that returns to the queue keeps its partial results. The rows decide, not the outcome that this attempt saw:
    a commit whose confirmation was lost is still a success. A killed attempt deletes nothing itself, so objects of
    older attempts are deleted, too.
    """
    with suppress(*UNAVAILABLE, StorageError):
        # Listed before the row is read: an attempt that is claimed after that cannot have stored any of these.
        stored = list(context.storage.keys(job_prefix(claim.project_id, claim.job_id)))
        with context.begin() as session:
            job = jobs.get(session, claim.project_id, claim.job_id)
            referenced = {artefact.key for artefact in artefacts.of_job(session, claim.project_id, claim.job_id)}
            referenced |= partial_results.keys(job) if job is not None else set()
        is_newer = job is not None and job.epoch != claim.epoch
        newer = attempt_prefix(claim.project_id, claim.job_id, job.epoch) if job is not None and is_newer else None
        for key in stored:
            if key not in referenced and (newer is None or not key.startswith(newer)):
                context.storage.delete(key)
