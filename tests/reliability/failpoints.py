"""Named points in the service's programs at which a test kills or stops them, once.

The programs do not contain the failpoints: a process of these tests wraps the functions at those points.
"""

import functools
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from tests.support.waiting import eventually

Who = Literal["program", "process"]
"""All processes of the program, as when a container is killed; or only the process that reached the point."""


@dataclass(frozen=True)
class Point:
    """`before` or after the call number `call` of a function, such as "ledger.attempts:claim"."""

    function: str
    before: bool
    call: int = 1


WORKER = {
    "before claim": Point("ledger.attempts:claim", before=True),
    "in the claim's transaction": Point("ledger.attempts:claim", before=False),
    "after claim": Point("worker.train:learn", before=True),
    "mid step": Point("tests.reliability.engine:step", before=True, call=15),
    "before checkpoint": Point("tests.reliability.engine:save_checkpoint", before=True),
    "after checkpoint": Point("tests.reliability.engine:save_checkpoint", before=False),
    "after one upload": Point("ledger.storage:Storage.put", before=False),
    "after upload": Point("ledger.storage:Storage.put", before=False, call=2),
    "before commit": Point("ledger.attempts:finish", before=False),
    "after commit": Point("worker.run_job:_write", before=False),
}
DISPATCHER = {
    "before publish": Point("ledger.outbox:publish", before=True),
    "after publish": Point("ledger.outbox:mark_published", before=True),
    "in the reaper's transaction": Point("ledger.reaper:reap", before=False, call=3),
}
API = {
    "before commit": Point("ledger.idempotency:remember", before=False),
    "after commit": Point("ledger.outbox:publish_one", before=True),
    "after publish": Point("ledger.outbox:remove", before=True),
}


def drain_at_step(stage: str, step: int) -> None:
    """Send SIGTERM to the worker when its child reports this step, and wait until the child knows it."""
    from worker.attempt import Attempt

    report = Attempt.report

    def report_and_drain(attempt: Attempt, name: str, number: int, total: int, **details: Any) -> None:
        if (name, number) == (stage, step):
            os.kill(os.getppid(), signal.SIGTERM)
            eventually(attempt.draining)
        report(attempt, name, number, total, **details)

    setattr(Attempt, "report", report_and_drain)  # noqa: B010


def install(point: Point, marker: Path, who: Who = "program", number: signal.Signals = signal.SIGKILL) -> None:
    """Send the signal when the first process reaches the point. It then creates the file `marker`."""
    module, _, path = point.function.partition(":")
    owner: Any = functools.reduce(getattr, path.split(".")[:-1], import_module(module))
    name = path.split(".")[-1]
    function: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def trigger() -> None:
        nonlocal calls
        calls += 1
        if calls != point.call:
            return
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return
        if who == "program":
            os.killpg(0, number)
        else:
            os.kill(os.getpid(), number)

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        if point.before:
            trigger()
        result = function(*arguments, **options)
        if not point.before:
            trigger()
        return result

    setattr(owner, name, wrapped)
