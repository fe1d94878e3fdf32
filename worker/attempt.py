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
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from ledger import attempts
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim, Control, Progress
from ledger.database import UNAVAILABLE, Autocommit
from ledger.storage import StorageError

RENEW_SECONDS = 0.2
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


class ClaimLost(Exception):
    """Another attempt has the job, or the job has ended or was erased: stop, write nothing."""


class OverTime(Exception):
    """The attempt runs for longer than a job may. The message says how long that is."""


@dataclass
class Attempt:
    """One attempt at one job: `report` sends its progress; `seconds` has the duration of each stage.

    `preview` is the newest preview that is stored. Each report includes it. The work runs inside `lease_kept`.
    """

    autocommit: Autocommit
    claim: Claim
    lease_seconds: float
    draining: Callable[[], bool]
    seconds: dict[str, float] = field(default_factory=dict)
    preview: NewArtefact | None = None
    clock: Callable[[], float] = time.monotonic
    max_seconds: float = math.inf
    _began: float = field(init=False)
    _latest: Progress = field(default_factory=lambda: Progress("", 0, 1))
    _stage_began: tuple[int, float] = (0, 0.0)
    _next_renewal: float = 0.0
    _has_reported: bool = False
    _control: Control = Control.GO_ON
    _is_cut_off: bool = False
    _renewing: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @contextmanager
    def lease_kept(self, stuck_seconds: float, on_stuck: Callable[[str], None]) -> Iterator[None]:
        """Context manager that renews the lease in a thread, which ends with the block.

        After `stuck_seconds` without a report, the thread calls `on_stuck` with the reason and renews no more.
        """
        over = Event()
        thread = Thread(target=self._keep_lease, args=(over, stuck_seconds, on_stuck), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def stage(self, name: str, step: int = 0, total: int = 1) -> Iterator[None]:
        """Context manager that reports the beginning of a stage and measures its duration."""
        start = self.clock()
        self.report(name, step, total)
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - start

    def report(self, stage: str, step: int, total: int, **details: Any) -> None:
        """Report that step `step` of `total` is done.

        Writes at most once in RENEW_SECONDS, and at the beginning and end of a stage. Raises Canceled, Draining or
        ClaimLost, also if the lease's thread has received the command; a job receives no other command to stop. Raises
        OverTime after `max_seconds`.
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
        if self._control is Control.GO_ON and (now >= self._next_renewal or begins or ends):
            self._renew()
        if self._control is not Control.GO_ON:
            raise Canceled if self._control is Control.CANCEL else ClaimLost
        if now - self._began > self.max_seconds:
            raise OverTime(f"it ran for longer than {self.max_seconds:g} seconds: request fewer steps or images")

    def reporter(self, stage: str) -> Callable[[int, int], None]:
        """`report` for one stage, with the signature of lipe_core's `on_step`."""
        return lambda step, total: self.report(stage, step, total)

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
        future = _start(operation)
        self._await([future])
        return future.result()

    def _retry_group(self, operations: Sequence[Callable[[], Result]]) -> list[Result]:
        futures = self._finish([_start(operation) for operation in operations])
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
                    _start(operation) if has_failed else future
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

    def _keep_lease(self, over: Event, stuck_seconds: float, on_stuck: Callable[[str], None]) -> None:
        interval = min(POLL_SECONDS, self.lease_seconds / RENEWALS_PER_LEASE)
        silent_seconds = 0.0  # counted by this thread: a process that continues after a long SIGSTOP is not stuck
        while not over.wait(interval):
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
        with self._renewing:  # so that no older progress is written after a newer one
            now = self.clock()
            self._next_renewal = now + RENEW_SECONDS
            try:
                with self.autocommit() as connection:
                    self._control = attempts.renew(
                        connection, self.claim, self._latest, lease_seconds=self.lease_seconds
                    )
            except UNAVAILABLE as error:
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


def _start(operation: Callable[[], Result]) -> "Future[Result]":
    """Run the operation in a daemon thread, which does not delay the exit of the process."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(operation())
        except Exception as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
