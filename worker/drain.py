"""How long a job goes on after the worker began to drain: short jobs may finish, trainings keep a checkpoint."""

import time
from collections.abc import Callable

from ledger.states import JobKind


def drain_of(
    kind: JobKind, draining: Callable[[], bool], seconds: float, clock: Callable[[], float] = time.monotonic
) -> Callable[[], bool]:
    """Whether a job of this kind must stop: a training once `draining` returns True, another one `seconds` later."""
    if kind == "prior" or not seconds:
        return draining
    began: list[float] = []

    def must_stop() -> bool:
        if not began and draining():
            began.append(clock())
        return bool(began) and clock() - began[0] >= seconds

    return must_stop
