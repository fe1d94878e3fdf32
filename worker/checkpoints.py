"""Checkpoints: the state that a training keeps on this machine for its next attempt. Each name begins with a job's id.

They are deleted after their job has ended or was deleted, whichever attempt wrote them. The next job of this worker
might come late, so a thread deletes them, too.
"""

import time
from contextlib import suppress
from threading import Thread

from sqlalchemy.exc import SQLAlchemyError

from ledger import jobs
from ledger.database import UNAVAILABLE
from worker.context import WorkerContext

FORGET_SECONDS = 30.0
DRAINING_CHECK_SECONDS = 1.0


def forget(context: WorkerContext) -> None:
    """Delete the checkpoints of jobs that have ended or were deleted. A database that does not answer is no error."""
    with suppress(SQLAlchemyError, *UNAVAILABLE):
        for file in context.checkpoints.glob("*.safetensors"):
            with context.begin() as session:
                over = jobs.is_over(session, file.name.split(".")[0])
            if over:
                file.unlink(missing_ok=True)


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
