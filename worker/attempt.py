"""A claimed job: progress goes out, control comes back, and both are one database write.

The lease is renewed by progress alone. A worker that is alive but stuck loses its job; a worker that comes back
from the dead finds its writes refused, because another attempt has a newer epoch.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, TypeVar

from ledger import attempts
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim, Control, Progress
from ledger.database import UNAVAILABLE, Autocommit
from ledger.storage import StorageError

RENEW_SECONDS = 0.2
OUTAGE_SECONDS = 5.0
PATIENCE_SECONDS = 1.0
STORAGE_WAITS = (1, 2, 4, 8, 15, 30, 30, 30)
STORED_AT_ONCE = 4
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Canceled(Exception):
    """The job was cancelled: stop, write nothing."""


class Draining(Exception):
    """This worker was told to stop: checkpoint, give the job back uncharged."""


class Lost(Exception):
    """The job is another attempt's, over or erased: stop, write nothing."""


@dataclass(frozen=True)
class File:
    """A file that an attempt made; what its fields mean is in `ledger.artefacts`."""

    role: str
    name: str
    content_type: str
    content: bytes
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobResult:
    """All that an attempt made, still to be stored but for the previews; `manifest` is a prior's."""

    files: list[File]
    resolved: dict[str, Any]
    manifest: dict[str, Any] | None = None
    previews: list[NewArtefact] = field(default_factory=list)


@dataclass
class Attempt:
    """One attempt at one job: `report` is its heartbeat, `seconds` what each stage took.

    `preview`, the newest picture of it that is stored, goes out with the reports.
    """

    look: Autocommit
    claim: Claim
    lease_seconds: float
    draining: Callable[[], bool]
    seconds: dict[str, float] = field(default_factory=dict)
    preview: NewArtefact | None = None
    _latest: Progress = field(default_factory=lambda: Progress("", 0, 1))
    _stage_began: tuple[int, float] = (0, 0.0)
    _next_renewal: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, and report that it began."""
        start = time.monotonic()
        self.report(name, 0, 1)
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    def report(self, stage: str, step: int, total: int, **details: Any) -> None:
        """Step `step` of `total` is done. Writes at most once in RENEW_SECONDS, and at a stage's beginning and end.

        Raises Canceled, Draining or Lost: the only way in which a job is told to stop.
        """
        moment = time.monotonic()
        begins = stage != self._latest.stage
        if begins:
            self._stage_began = (step, moment)
        eta = self._eta(step, total, moment)
        self._latest = Progress(stage, step, total, details | {"eta_seconds": eta}, self.preview)
        if self.draining():
            raise Draining
        if moment >= self._next_renewal or begins or step == total:
            self._renew(moment)

    def reporter(self, stage: str) -> Callable[[int, int], None]:
        """`report` of one stage, as lipe_core's `on_step` wants it."""
        return lambda step, total: self.report(stage, step, total)

    def retry_storage(self, operation: Callable[[], Result]) -> Result:
        """Do it again and again through an outage of the storage. Raises StorageError when it lasts too long.

        However slow the storage is, the lease is kept. An attempt that is told to stop first waits for the storage's
        answer: what is stored after its clean-up would stay.
        """
        (result,) = self.insist_on_all([operation])
        return result

    def insist_on_all(self, operations: Sequence[Callable[[], Result]]) -> Iterator[Result]:
        """`insist` on each, STORED_AT_ONCE side by side: the results in their order, as they come."""
        for first in range(0, len(operations), STORED_AT_ONCE):
            yield from self._insist(operations[first : first + STORED_AT_ONCE])

    def beside(self, operation: Callable[[], Result]) -> Result:
        """Do in a thread what ends by itself but cannot report, and report meanwhile.

        An attempt that is told to stop does not wait for the thread's end: the operation must not need it.
        """
        outcome = _begun(operation)
        self._report_until([outcome])
        return outcome.result()

    def report_again(self) -> None:
        """Nothing new is done, but the attempt is alive. Raises what `report` raises."""
        self.report(self._latest.stage, self._latest.step, self._latest.total, **self._latest.details)

    def _insist(self, operations: Sequence[Callable[[], Result]]) -> list[Result]:
        outcomes = self._patiently([_begun(operation) for operation in operations])
        for wait in STORAGE_WAITS:
            failed = [isinstance(outcome.exception(), StorageError) for outcome in outcomes]
            if not any(failed):
                break
            error = next(
                outcome.exception() for outcome, cpu_offloaded in zip(outcomes, failed, strict=True) if cpu_offloaded
            )
            log.warning("job %s: %s; again in %d s", self.claim.job_id, error, wait)
            for _ in range(wait):
                time.sleep(1)
                self.report_again()
            again = zip(operations, outcomes, failed, strict=True)
            outcomes = self._patiently(
                [_begun(operation) if cpu_offloaded else done for operation, done, cpu_offloaded in again]
            )
        return [outcome.result() for outcome in outcomes]

    def _patiently(self, outcomes: "list[Future[Result]]") -> "list[Future[Result]]":
        try:
            self._report_until(outcomes)
        finally:
            wait_for(outcomes)
        return outcomes

    def _report_until(self, outcomes: "list[Future[Result]]") -> None:
        while wait_for(outcomes, PATIENCE_SECONDS).not_done:
            self.report_again()

    def _renew(self, moment: float) -> None:
        self._next_renewal = moment + RENEW_SECONDS
        try:
            with self.look() as connection:
                control = attempts.renew(connection, self.claim, self._latest, lease_seconds=self.lease_seconds)
        except UNAVAILABLE as error:
            # Work on: nobody else can claim the job meanwhile, and the next renewal tells whose it is.
            log.warning("job %s: cannot renew the lease: %s", self.claim.job_id, error)
            self._next_renewal = moment + OUTAGE_SECONDS
            return
        if control is not Control.GO_ON:
            raise Canceled if control is Control.CANCEL else Lost

    def _eta(self, step: int, total: int, moment: float) -> float | None:
        first, start = self._stage_began
        return round((moment - start) / (step - first) * (total - step), 1) if step > first else None


def _begun(operation: Callable[[], Result]) -> "Future[Result]":
    """Its outcome, from a thread."""
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(operation())
        except Exception as error:
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome
