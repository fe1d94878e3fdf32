"""Objects in main memory: those that the next job will need, and those of the running job that were fetched before.

They belong to one job, and no other one reads them. When another job begins, or the next one is another, they are
dropped. So nothing of an erased image remains, beyond the next look at the queue.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from threading import Condition
from typing import NamedTuple


class Needed(NamedTuple):
    """An object that a job needs: its key and its SHA-256 (hex)."""

    key: str
    sha256: str


Files = Mapping[Needed, "Future[bytes]"]
"""Objects that are fetched, or will be. One that is cancelled will not be."""


class Prefetched:
    """The running job's objects, and those of the job that is expected after it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._running = self._next = ""
        self._is_loaded = False
        self._files: dict[str, dict[Needed, Future[bytes]]] = {}

    def begin(self, job_id: str) -> None:
        """This job runs now; empty: none does. Only its objects are kept."""
        with self._changed:
            self._keep(job_id)
            self._running, self._next, self._is_loaded = job_id, "", False
            self._changed.notify_all()

    def loaded(self) -> None:
        """The running job has all objects that it needs."""
        with self._changed:
            if not self._is_loaded:
                self._keep("")
                self._is_loaded = True
                self._changed.notify_all()

    def end(self) -> None:
        """The running job is over, and the next one is being claimed: no other one is expected any more."""
        with self._changed:
            self._is_loaded = False

    def loaded_job(self, besides: str, seconds: float) -> str:
        """The running job once it has its objects; empty if none runs. Waits for another answer than `besides`."""
        with self._changed:
            self._changed.wait_for(lambda: self._loaded_job() != besides, seconds)
            return self._loaded_job()

    def expect(self, running: str, job_id: str, needed: Sequence[Needed]) -> Files:
        """The job that is expected after `running` needs these; empty: none is expected. Returns what is to fetch."""
        with self._changed:
            if self._loaded_job() != running or job_id == self._next:
                return {}
            self._keep("")
            self._next = job_id
            self._files[job_id] = {each: Future() for each in needed}
            return dict(self._files[job_id])

    def take(self, key: str, sha256: str) -> bytes | None:
        """Remove an object of the running job, and wait if it is being fetched. None: the job must fetch it."""
        with self._changed:
            file = self._files.get(self._running, {}).pop(Needed(key, sha256), None)
        if file is None or file.cancel():
            return None
        return None if file.exception() is not None else file.result()

    @property
    def size(self) -> int:
        """Bytes in memory."""
        with self._changed:
            files = [file for each in self._files.values() for file in each.values()]
        done = [file for file in files if file.done() and not file.cancelled() and file.exception() is None]
        return sum(len(file.result()) for file in done)

    def _loaded_job(self) -> str:
        return self._running if self._is_loaded else ""

    def _keep(self, job_id: str) -> None:
        """Drop the objects of all other jobs."""
        for other in self._files.keys() - {job_id}:
            for file in self._files.pop(other).values():
                file.cancel()
