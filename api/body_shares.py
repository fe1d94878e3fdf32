"""Each project's share of the memory for request bodies: those that arrive slowly or wait must not use up all of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from api.problems import Problem

BODIES = 8
"""The share in bodies of the largest size. Smaller ones may be more."""


class BodyShares:
    """The bytes that each project has announced in requests that are not answered yet."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: Counter[str] = Counter()
        self._lock = Lock()

    @contextmanager
    def held(self, project_id: str, size: int) -> Iterator[None]:
        """Context manager that counts `size` bytes. Raises Problem if the project's share is used up."""
        with self._lock:
            if self._held[project_id] + size > self.most:
                detail = f"bodies of {self._held[project_id]} bytes are in progress: wait for their answers"
                raise Problem("too_many_bodies", detail)
            self._held[project_id] += size
        try:
            yield
        finally:
            with self._lock:
                self._held -= Counter({project_id: size})
