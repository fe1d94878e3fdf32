"""The jobs of a worker process: claim the one that it should do next, run it, and claim again until none waits.

A message only wakes the worker, and carries no order: any message may start any job. A worker that nothing wakes looks
for jobs by itself now and then, so that a broker that is away delays jobs by seconds and stops none.

One thread runs all jobs, because settings of torch and CUDA belong to a thread. The end of an edit needs no GPU: a
second thread stores its results while the first one runs the next job. A third one fetches what the next job needs.
"""

import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Condition, Thread

from psycopg import Connection

from ledger import claims
from ledger.attempts import Claim
from ledger.claims import Abilities
from ledger.database import UNAVAILABLE
from ledger.states import JobKind
from lipe_core import precision
from worker.context import WorkerContext
from worker.prefetch import Prefetch
from worker.run_job import run_job

POLL_SECONDS = (2.0, 4.0)
"""The shortest and the longest time between two looks of an idle worker, which varies so that not all look at once."""
SHORT_KINDS: tuple[JobKind, ...] = ("edit", "captions", "mask")
MIN_TRAINING_SECONDS = 10.0
"""A training gives way only after so long, so that it advances even under a stream of edits."""

log = logging.getLogger(__name__)


class Ending:
    """Runs the end of one job at a time in a thread. `on_end` is called after each."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._is_busy = False
        self._thread: Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an end runs."""
        return self._is_busy

    def run(self, end: Callable[[], None]) -> None:
        """Start it when the one before has ended, so that memory holds the results of one job beside the next."""
        self.join()
        self._is_busy = True
        self._thread = Thread(target=self._run, args=(end,), name="storing", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end that runs."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, end: Callable[[], None]) -> None:
        try:
            end()
        except Exception:
            log.exception("the worker goes on")
        finally:
            self._is_busy = False
            self._on_end()


class Work:
    """The thread that runs this process's jobs of these kinds, one at a time, until the worker drains."""

    def __init__(self, context: WorkerContext, kinds: Sequence[JobKind]) -> None:
        self.context, self.kinds = context, tuple(kinds)
        self.short_kinds = tuple(kind for kind in SHORT_KINDS if kind in kinds)
        self._changed = Condition()
        self._asked = self._answered = 0
        self._is_over = False
        self._ending = Ending(self._wake)
        self._thread = Thread(target=self._serve, name="jobs", daemon=True)
        self._prefetch = Prefetch(context, lambda: self._abilities(self.kinds))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        if self.context.settings.prefetch_bytes:
            self._prefetch.start()

    def run_waiting(self) -> None:
        """Wake the thread, and return when no job waits any more that this worker can do, or when it drains.

        A message is held for so long: the broker gives the next ones to workers that are idle.
        """
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answered >= mine or self._is_over)

    @property
    def is_over(self) -> bool:
        """Whether the thread has ended, because the worker drained."""
        return self._is_over

    def finish(self) -> None:
        """Wait for the end of the thread. The worker must be draining."""
        self._wake()
        self._thread.join()

    def _serve(self) -> None:
        try:
            with precision.denormals_flushed():
                self._run_until_draining()
        finally:
            self.context.prefetched.begin("")
            self._ending.join()
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    def _must_look(self) -> bool:
        return self._asked > self._answered or self.context.draining()

    def _run_until_draining(self) -> None:
        while not self.context.draining():
            with self._changed:
                self._changed.wait_for(self._must_look, random.uniform(*POLL_SECONDS))  # noqa: S311
                asked = self._asked
            try:
                self._run_all()
            except UNAVAILABLE as error:
                log.warning("cannot claim a job: %s", error)
            except SystemExit as error:
                log.critical("%s", error)
                self._ending.join()
                os._exit(1)  # only the main thread's exit would end the process
            except Exception:
                log.exception("the worker goes on")
            with self._changed:
                self._answered = asked
                self._changed.notify_all()

    def _run_all(self) -> None:
        has_given_way = False
        while True:
            asked = self._asked
            self.context.prefetched.end()
            claim = (self._claim(self.short_kinds) if has_given_way else None) or self._claim(self.kinds)
            self.context.prefetched.begin(claim.job_id if claim is not None else "")
            if claim is not None:
                has_given_way = run_job(self.context, claim, self._when_to_give_way(claim), self._ending.run)
            elif self._ending.is_busy:
                has_given_way = False
                self._wait_for_message_or_end(asked)
            else:
                return

    def _wait_for_message_or_end(self, asked: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._asked > asked or not self._ending.is_busy, POLL_SECONDS[0])

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _claim(self, kinds: Sequence[JobKind]) -> Claim | None:
        if self.context.draining():
            return None
        settings = self.context.settings
        with self.context.begin() as session:
            return claims.claim_next(
                session,
                self._abilities(kinds),
                self.context.name,
                lease_seconds=settings.lease_seconds,
                max_running=settings.max_running_jobs,
            )

    def _when_to_give_way(self, claim: Claim) -> Callable[[Connection], bool]:
        if claim.kind != "prior" or not self.short_kinds:
            return lambda _: False
        return partial(self._short_job_waits, claim.job_id, time.monotonic() + MIN_TRAINING_SECONDS)

    def _short_job_waits(self, training: str, earliest: float, connection: Connection) -> bool:
        if time.monotonic() < earliest:
            return False
        max_running = self.context.settings.max_running_jobs
        # The quota must not count the training: it ends its attempt if it gives way.
        able = self._abilities(self.short_kinds)
        return claims.is_waiting(connection, able, max_running=max_running, besides=training)

    def _abilities(self, kinds: Sequence[JobKind]) -> Abilities:
        return Abilities(kinds, self.context.gpu.fingerprint, self.context.gpu.adapters, self.context.gpu.images)
