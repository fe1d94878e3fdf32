"""A claimed job: one database write sends its progress and returns the control commands.

A thread renews the lease while this process lives, independent of progress: encoding a large image, or one training
step on a slow machine, may take longer than a lease. A process that is killed or stopped no longer renews it and loses
its job. If it continues later, the database refuses its writes, because another attempt has a newer epoch. An engine
that reports nothing for too long is stuck, which is an error of its own.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, TypeVar

from psycopg import Connection
from structlog.contextvars import bound_contextvars, get_contextvars

from ledger import attempts
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim, Control, Progress
from ledger.database import UNAVAILABLE, Autocommit
from ledger.storage import StorageError
from ledger.tracing import NO_TRACING, Tracing

RENEW_SECONDS = (0.2, 2.0)
"""The shortest and the longest time between two renewals."""
RENEW_SHARE = 0.1
"""The time between two renewals, as a share of the attempt's age: a user watches a short job closely, and thousands of
long ones must not load the database."""
DATABASE_RETRY_SECONDS = 5.0
POLL_SECONDS = 1.0
RENEWALS_PER_LEASE = 4
STORAGE_RETRY_SECONDS = (1, 2, 4, 8, 15, 30, 30, 30)
PARALLEL_STORAGE_CALLS = 4
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Canceled(Exception):
    """The job was cancelled: stop, write nothing."""


class Draining(Exception):
    """This worker must stop: save a checkpoint and return the job to the queue without charging the attempt."""


class GivingWay(Draining):
    """A short job waits: save a checkpoint and return this one to the queue without charging the attempt."""


class ClaimLost(Exception):
    """Another attempt has the job, or the job has ended or was erased: stop, write nothing."""


class OverTime(Exception):
    """The attempt runs for longer than a job may. The message says how long that is."""


STOPS = {Control.CANCEL: Canceled, Control.GIVE_WAY: GivingWay, Control.LOST: ClaimLost}


@dataclass
class Attempt:
    """One attempt at one job: `report` sends its progress; `seconds` has the duration of each stage.

    `peak_memory` is that of the part on the GPU in bytes, once it is over.
    `leaves_objects`: the attempt has stored some that do not become artefacts. `preview` is the newest preview that is
    stored. Each report includes it. The work runs inside `lease_kept`, whose thread alone writes to the database, so
    that the work goes on while the database does not answer. It calls `on_renewal` with the seconds of each renewal, or
    with None if the database did not answer. The thread asks `gives_way` whether the job shall return
    to the queue because a short one waits. `on_loaded` is called when the job has all objects that it needs.
    """

    autocommit: Autocommit
    claim: Claim
    lease_seconds: float
    draining: Callable[[], bool]
    seconds: dict[str, float] = field(default_factory=dict)
    preview: NewArtefact | None = None
    leaves_objects: bool = False
    peak_memory: int | None = None
    clock: Callable[[], float] = time.monotonic
    max_seconds: float = math.inf
    gives_way: Callable[[Connection], bool] = lambda _: False
    on_renewal: Callable[[float | None], None] = lambda _: None
    on_loaded: Callable[[], None] = lambda: None
    tracing: Tracing = NO_TRACING
    _began: float = field(init=False)
    _latest: Progress = field(default_factory=lambda: Progress("", 0, 1))
    _stage_began: tuple[int, float] = (0, 0.0)
    _next_renewal: float = 0.0
    _has_reported: bool = False
    _control: Control = Control.GO_ON
    _is_cut_off: bool = False
    _is_over: bool = False
    _wake: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @contextmanager
    def lease_kept(self, stuck_seconds: float, on_stuck: Callable[[str], None]) -> Iterator[None]:
        """Context manager that renews the lease in a thread, which ends with the block.

        After `stuck_seconds` without a report, the thread calls `on_stuck` with the reason and renews no more.
        """
        # Its log lines name the job, too. Its statements are in no trace: a training would have thousands.
        target = bound_contextvars(**get_contextvars())(self._keep_lease)
        thread = Thread(target=target, args=(stuck_seconds, on_stuck), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_over = True
            self._wake.set()
            thread.join(DATABASE_RETRY_SECONDS)  # it may wait for a database that does not answer

    @contextmanager
    def stage(self, name: str, step: int = 0, total: int = 1) -> Iterator[None]:
        """Context manager that reports the beginning of a stage and measures its duration."""
        start = self.clock()
        self.report(name, step, total)
        with self.tracing.span(f"stage {name}"):
            yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - start
        if name == "loading":
            self.on_loaded()

    def report(self, stage: str, step: int, total: int, **details: Any) -> None:
        """Report that step `step` of `total` is done. The lease's thread writes it, if a renewal is due.

        It also writes the beginning and end of a stage. Raises Canceled, Draining, GivingWay or ClaimLost if the thread
        has received that answer; a job receives no other command to stop. Raises OverTime after `max_seconds`.
        """
        now, self._has_reported = self.clock(), True
        begins = stage != self._latest.stage
        ends = step == total and (begins or step != self._latest.step)
        if begins:
            self._stage_began = (step, now)
        eta = self._eta(step, total, now)
        self._latest = Progress(stage, step, total, details | {"eta_seconds": eta}, self.preview)
        if self.draining():
            raise Draining
        if begins or ends:
            self._next_renewal = now
        if now >= self._next_renewal:
            self._wake.set()
        if self._control is not Control.GO_ON:
            raise STOPS[self._control]
        if now - self._began > self.max_seconds:
            raise OverTime(f"it ran for longer than {self.max_seconds:g} seconds: request fewer steps or images")

    def reporter(self, stage: str) -> Callable[[int, int], None]:
        """`report` for one stage, with the signature of lipe_core's `on_step`."""
        return lambda step, total: self.report(stage, step, total)

    @property
    def has_given_way(self) -> bool:
        """Whether the job stopped because a short one waits."""
        return self._control is Control.GIVE_WAY

    @property
    def latest(self) -> Progress:
        """The newest report of progress."""
        return self._latest

    def renew_lease(self) -> None:
        """Report the latest progress again, as a sign of activity. Raises the same exceptions as `report`."""
        self.report(self._latest.stage, self._latest.step, self._latest.total, **self._latest.details)

    def retry_storage(self, operation: Callable[[], Result]) -> Result:
        """Run a storage operation, and retry it during an outage. Raises StorageError if the outage lasts too long.

        An attempt that must stop first waits for the storage's response: an object that is stored after the attempt's
        clean-up would remain.
        """
        (result,) = self.retry_storage_all([operation])
        return result

    def retry_storage_all(self, operations: Sequence[Callable[[], Result]]) -> Iterator[Result]:
        """`retry_storage` for each operation, PARALLEL_STORAGE_CALLS at once. Yields the results in order."""
        for first in range(0, len(operations), PARALLEL_STORAGE_CALLS):
            yield from self._retry_group(operations[first : first + PARALLEL_STORAGE_CALLS])

    def run_in_thread(self, operation: Callable[[], Result]) -> Result:
        """Run an operation that cannot report, such as an HTTP request, in a thread, and report meanwhile.

        An attempt that must stop does not wait for the thread: the operation has to end by itself.
        """
        future = start_in_thread(operation)
        self._await([future])
        return future.result()

    def _retry_group(self, operations: Sequence[Callable[[], Result]]) -> list[Result]:
        futures = self._finish([start_in_thread(operation) for operation in operations])
        for seconds in STORAGE_RETRY_SECONDS:
            errors = [future.exception() for future in futures]
            failed = [isinstance(error, StorageError) for error in errors]
            if not any(failed):
                break
            log.warning("job %s: %s; retry in %d s", self.claim.job_id, errors[failed.index(True)], seconds)
            for _ in range(seconds):
                time.sleep(1)
                self.renew_lease()
            futures = self._finish(
                [
                    start_in_thread(operation) if has_failed else future
                    for operation, future, has_failed in zip(operations, futures, failed, strict=True)
                ]
            )
        return [future.result() for future in futures]

    def _finish(self, futures: "list[Future[Result]]") -> "list[Future[Result]]":
        try:
            self._await(futures)
        finally:
            wait(futures)
        return futures

    def _await(self, futures: "list[Future[Result]]") -> None:
        while wait(futures, POLL_SECONDS).not_done:
            self.renew_lease()

    def _keep_lease(self, stuck_seconds: float, on_stuck: Callable[[str], None]) -> None:
        interval = min(POLL_SECONDS, self.lease_seconds / RENEWALS_PER_LEASE)
        silent_seconds = 0.0  # counted by this thread: a process that continues after a long SIGSTOP is not stuck
        while True:
            self._wake.wait(interval)
            if self._is_over:
                return
            self._wake.clear()
            silent_seconds = 0.0 if self._has_reported else silent_seconds + interval
            self._has_reported = False
            if silent_seconds > stuck_seconds:
                on_stuck(f'no progress for {stuck_seconds:g} s in "{self._latest.stage}"')
                return
            # A cancelled job is not renewed: if its engine never reports again, the reaper ends it soon.
            if self._control is Control.GO_ON and self.clock() >= self._next_renewal:
                try:
                    self._renew()
                except Exception:
                    log.exception("job %s: the lease's thread goes on", self.claim.job_id)

    def _renew(self) -> None:
        now, start = self.clock(), time.perf_counter()
        shortest, longest = RENEW_SECONDS
        longest = min(longest, self.lease_seconds / RENEWALS_PER_LEASE)
        self._next_renewal = now + min(longest, max(shortest, RENEW_SHARE * (now - self._began)))
        try:
            with self.autocommit() as connection:
                control = attempts.renew(connection, self.claim, self._latest, lease_seconds=self.lease_seconds)
                if control is Control.GO_ON and self.gives_way(connection):
                    control = Control.GIVE_WAY
            self._control = control
            self.on_renewal(time.perf_counter() - start)
        except UNAVAILABLE as error:
            self.on_renewal(None)
            # Continue: without the database no other worker can claim the job. The next renewal checks the claim.
            if not self._is_cut_off:
                log.warning("job %s: cannot renew the lease: %s", self.claim.job_id, error)
            self._is_cut_off = True
            self._next_renewal = now + DATABASE_RETRY_SECONDS
        else:
            self._is_cut_off = False

    def _eta(self, step: int, total: int, now: float) -> float | None:
        first, start = self._stage_began
        return round((now - start) / (step - first) * (total - step), 1) if step > first else None


def start_in_thread(operation: Callable[[], Result]) -> "Future[Result]":
    """Run the operation in a daemon thread, which does not delay the exit of the process."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(operation())
        except Exception as error:
            future.set_exception(error)

    Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return future
