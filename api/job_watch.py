"""One query for all streams of events: a thread asks the database repeatedly which of their jobs have changed.

A stream that polls by itself costs several queries a second. Here each poll costs one query for all streams of the
process, and one more for each job that changed.
"""

import logging
import time
from asyncio import wrap_future
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Condition, Thread

from ledger import events, jobs
from ledger.database import UNAVAILABLE, UnitOfWork
from ledger.events import JobEvent
from ledger.states import TERMINAL

POLL_SECONDS = 0.25

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Position:
    """The place of a stream: the number of the last event of the job that it has sent."""

    project_id: str
    job_id: str
    after: int


@dataclass(frozen=True)
class News:
    """The new events, and whether no more will follow because the job is over or erased."""

    events: list[JobEvent]
    is_over: bool


def read(begin: UnitOfWork, position: Position) -> News:
    """The events after the position. Of the progress that was missed, only the newest (`ledger/events.py`)."""
    with begin() as session:
        job = jobs.get(session, position.project_id, position.job_id)
        if job is None:
            return News([], is_over=True)
        if job.newest_number <= position.after:
            return News([], job.status in TERMINAL)
        found = events.after(session, position.project_id, position.job_id, position.after)
        return News(jobs.events_after(session, job, found, position.after), job.status in TERMINAL)


class JobWatch:
    """Streams wait here for news. `max_streams` is the most of one project.

    The thread starts with the first stream. While the database is unavailable, the streams wait.
    """

    def __init__(self, begin: UnitOfWork, max_streams: int) -> None:
        self.begin, self.max_streams = begin, max_streams
        self.streams: Counter[str] = Counter()
        self._waiting: dict[Position, list[Future[News]]] = {}
        self._changed = Condition()
        self._is_closed = False
        self._thread: Thread | None = None

    @contextmanager
    def stream(self, project_id: str) -> Iterator[bool]:
        """Context manager that counts a stream of the project. It yields False if there are too many already."""
        with self._changed:
            has_room = self.streams[project_id] < self.max_streams
            if has_room:
                self.streams[project_id] += 1
        try:
            yield has_room
        finally:
            if has_room:
                with self._changed:
                    self.streams -= Counter({project_id: 1})

    def open_streams(self) -> int:
        """The number of streams of all projects."""
        with self._changed:
            return sum(self.streams.values())

    async def news(self, position: Position) -> News:
        """Wait until the job has events after the position, or is over."""
        future: Future[News] = Future()
        with self._changed:
            self._waiting.setdefault(position, []).append(future)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="job watch", daemon=True)
                self._thread.start()
            self._changed.notify()
        return await wrap_future(future)

    def close(self) -> None:
        """End the thread. Streams that wait are over."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        for position in list(self._waiting):
            self._answer(position, News([], is_over=True))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._waiting)
                if self._is_closed:
                    return
                positions = list(self._waiting)
            try:
                self._poll(positions)
            except UNAVAILABLE:
                pass  # the next poll may succeed
            except Exception:
                log.exception("the watch of jobs goes on")
            time.sleep(POLL_SECONDS)

    def _poll(self, positions: list[Position]) -> None:
        self._forget_cancelled(positions)
        with self.begin() as session:
            states = jobs.states(session, list({position.job_id for position in positions}))
        for position in positions:
            sequence, state = states.get(position.job_id, (None, None))
            if sequence is None or sequence > position.after or state in TERMINAL:
                self._answer(position, read(self.begin, position))

    def _forget_cancelled(self, positions: list[Position]) -> None:
        with self._changed:
            for position in positions:
                self._waiting[position] = [future for future in self._waiting[position] if not future.cancelled()]
                if not self._waiting[position]:
                    del self._waiting[position]

    def _answer(self, position: Position, news: News) -> None:
        with self._changed:
            futures = self._waiting.pop(position, [])
        for future in futures:
            with suppress(InvalidStateError):  # the client has gone
                future.set_result(news)
