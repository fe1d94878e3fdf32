"""Fetching what the next job needs, while a job runs: its image, its prior, its references.

A worker claims one job at a time. So it only looks which job it would claim now, and fetches that job's objects into
main memory. A wrong guess costs the download: another worker may claim the job first, or a job may come before it. The
thread therefore looks again, first often, then rarely, and drops the objects of a job that is no longer expected.
"""

import logging
import time
from collections.abc import Callable
from threading import Thread

from sqlalchemy.exc import SQLAlchemyError

from ledger import claims
from ledger.claims import Abilities
from ledger.database import UNAVAILABLE
from worker.context import WorkerContext
from worker.job_inputs import needed_objects
from worker.prefetched import Files

LOOK_SECONDS = (1.0, 30.0)
"""The shortest and the longest time between two looks. An erased image is in memory for the longest one at most."""
LOOK_SHARE = 0.1
"""The time between two looks, as a share of the running job's age."""

log = logging.getLogger(__name__)


class Prefetch:
    """The thread that fetches. `abilities` returns what the worker can do, and ends with the process."""

    def __init__(self, context: WorkerContext, abilities: Callable[[], Abilities]) -> None:
        self.context, self._abilities = context, abilities
        self._thread = Thread(target=self._run, name="prefetch", daemon=True)

    def start(self) -> None:
        """Start the thread, which ends when the worker drains."""
        self._thread.start()

    def look(self, running: str) -> None:
        """Fetch what the job needs that is expected after `running`, or drop all if there is none."""
        with self.context.begin() as session:
            max_running = self.context.settings.max_running_jobs
            found = claims.peek(session, self._abilities(), max_running=max_running, running=running)
            needed = needed_objects(session, *found) if found is not None else []
        self._fetch(self.context.prefetched.expect(running, found[1] if found is not None else "", needed))

    def _run(self) -> None:
        running, began, seconds = "", 0.0, LOOK_SECONDS[1]
        while not self.context.draining():
            before, running = running, self.context.prefetched.loaded_job(running, seconds)
            began = began if running == before else time.monotonic()
            seconds = min(LOOK_SECONDS[1], max(LOOK_SECONDS[0], LOOK_SHARE * (time.monotonic() - began)))
            if running:
                try:
                    self.look(running)
                except (SQLAlchemyError, *UNAVAILABLE) as error:
                    log.debug("the next job fetches its own objects: %s", error)
                except Exception:
                    log.exception("the worker goes on")

    def _fetch(self, files: Files) -> None:
        left = self.context.settings.prefetch_bytes
        for (key, sha256), file in files.items():
            # A prior that is in memory is not read again.
            if sha256 in self.context.gpu.adapters or not file.set_running_or_notify_cancel():
                continue
            try:
                content = self.context.storage.get(key, sha256, left)
            except Exception as error:  # the job fetches it itself, and reports the error if there is one again
                file.set_exception(error)
            else:
                left -= len(content)
                file.set_result(content)
