"""Checkpoints: the state that a training keeps for its next attempt, on this machine and in the object storage.

Each name begins with a job's id. The files are deleted after their job has ended or was deleted, whichever attempt
wrote them. The next job of this worker might come late, so a thread deletes them, too. Another machine, which takes
over if this one is gone, resumes from the object. The newer of file and object wins: a machine may have an old file of
a training that has been on another machine since.
"""

import io
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from ledger import attempts, jobs, partial_results
from ledger.database import UNAVAILABLE
from ledger.partial_results import SavedCheckpoint
from ledger.storage import NoSuchObject, StorageError, StoredObject, attempt_prefix
from lipe_core.errors import InvalidCheckpoint
from lipe_core.training.checkpoint import saved_step
from worker.attempt import Attempt, Draining, GivingWay, start_in_thread
from worker.context import WorkerContext

FORGET_SECONDS = 30.0
UPLOAD_SECONDS = 60.0
"""A machine that is lost loses at most so much of a training, and the steps since the last checkpoint."""
LAST_UPLOAD_SECONDS = 30.0
"""The most time for the last upload of a worker that drains."""
ANSWER_SECONDS = 1.0
"""A database that does not answer for so long is not waited for by a worker that drains."""
CONTENT_TYPE = "application/octet-stream"
DRAINING_CHECK_SECONDS = 1.0

log = logging.getLogger(__name__)


def forget(context: WorkerContext) -> None:
    """Delete the checkpoints of jobs that have ended or were deleted. A database that does not answer is no error."""
    with suppress(SQLAlchemyError, *UNAVAILABLE):
        for file in context.checkpoints.glob("*.safetensors"):
            with context.begin() as session:
                over = jobs.is_over(session, file.name.split(".")[0])
            if over:
                file.unlink(missing_ok=True)


@dataclass
class Upload:
    """Stores the training's checkpoint file as an object whenever it has changed, and records it in the job."""

    context: WorkerContext
    attempt: Attempt
    file: Path
    _stored: StoredObject | None = None
    _written_at: float = 0.0

    def store(self) -> None:
        """Store the file if it has changed. An error is logged, and the next call tries again."""
        try:
            written_at = self.file.stat().st_mtime
            if written_at != self._written_at:
                content = self.file.read_bytes()
                stored = self.context.storage.put(self._prefix(), "checkpoint", content, CONTENT_TYPE)
                self._replace(SavedCheckpoint(self.file.name, stored, saved_step(io.BytesIO(content))))
                self._written_at = written_at
        except FileNotFoundError:
            pass  # none was written yet
        except (StorageError, SQLAlchemyError, *UNAVAILABLE) as error:
            log.warning("job %s: its checkpoint stays on this machine for now: %s", self.attempt.claim.job_id, error)

    @property
    def has_stored(self) -> bool:
        """Whether there is an object."""
        return self._stored is not None

    def _replace(self, checkpoint: SavedCheckpoint) -> None:
        stored = checkpoint.stored
        with self.context.begin() as session:
            is_kept = attempts.keep_checkpoint(session, self.attempt.claim, checkpoint)
        old = self._stored if is_kept else stored
        if old is not None and old.key != (stored.key if is_kept else None):
            self.context.storage.delete(old.key)
        self._stored = stored if is_kept else self._stored

    def _prefix(self) -> str:
        claim = self.attempt.claim
        return attempt_prefix(claim.project_id, claim.job_id, claim.epoch)


@contextmanager
def uploaded(context: WorkerContext, attempt: Attempt, file: Path) -> Iterator[None]:
    """Context manager that stores the checkpoint every UPLOAD_SECONDS, and a last time if the worker drains."""
    upload, is_over = Upload(context, attempt, file), Event()

    def run() -> None:
        while not is_over.wait(UPLOAD_SECONDS):
            upload.store()

    thread = Thread(target=run, name="checkpoint upload", daemon=True)
    thread.start()
    try:
        yield
    except GivingWay:
        raise  # this worker continues the training soon
    except Draining:
        is_over.set()
        with suppress(TimeoutError, SQLAlchemyError, *UNAVAILABLE):
            # A database that does not answer could not record the object, and must not delay the end of the process.
            start_in_thread(partial(_ask_database, context, attempt)).result(ANSWER_SECONDS)
            thread.join(LAST_UPLOAD_SECONDS)
            start_in_thread(upload.store).result(LAST_UPLOAD_SECONDS)
        raise
    finally:
        is_over.set()
        attempt.leaves_objects = attempt.leaves_objects or upload.has_stored


def _ask_database(context: WorkerContext, attempt: Attempt) -> bool:
    with context.begin() as session:
        return jobs.is_over(session, attempt.claim.job_id)


def fetch(context: WorkerContext, attempt: Attempt, file: Path) -> None:
    """Download the checkpoint that an earlier attempt stored, unless this machine's file is as new."""
    with context.begin() as session:
        job = jobs.get(session, attempt.claim.project_id, attempt.claim.job_id)
        saved = partial_results.read_checkpoint(job) if job is not None else None
    if saved is None or saved.name != file.name or saved.step <= _step(file):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        attempt.retry_storage(partial(context.storage.download, saved.stored.key, saved.stored.sha256, file))
        log.info("job %s: resumes from the checkpoint of another machine", attempt.claim.job_id)
    except (StorageError, NoSuchObject) as error:
        again = "from an older checkpoint" if file.exists() else "again"
        log.warning("job %s: starts %s, because the newest is lost: %s", attempt.claim.job_id, again, error)


def _step(file: Path) -> int:
    """The steps that this machine's checkpoint has done; -1 if there is none that can be read."""
    try:
        with file.open("rb") as content:
            return saved_step(content)
    except (OSError, InvalidCheckpoint):
        return -1


def keep_forgetting(context: WorkerContext) -> Thread:
    """`forget` every FORGET_SECONDS until the worker drains, in a thread that ends with the process."""

    def run() -> None:
        due = time.monotonic()
        while not context.draining():
            if time.monotonic() >= due:
                forget(context)
                due = time.monotonic() + FORGET_SECONDS
            time.sleep(DRAINING_CHECK_SECONDS)

    thread = Thread(target=run, name="checkpoints", daemon=True)
    thread.start()
    return thread
