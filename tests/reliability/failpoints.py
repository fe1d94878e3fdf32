"""Named points in the service's programs at which a test lets them die, or pause, for once.

Nothing of this is in the programs: a process of these tests wraps the functions that stand at those points.
"""

import functools
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

Who = Literal["program", "process"]
"""All processes of the program, as when a container is killed, or the one alone that reached the point."""


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
    "before checkpoint": Point("tests.reliability.engine:keep", before=True),
    "after checkpoint": Point("tests.reliability.engine:keep", before=False),
    "after one upload": Point("ledger.storage:Storage.put", before=False),
    "after upload": Point("ledger.storage:Storage.put", before=False, call=2),
    "before commit": Point("ledger.attempts:finish", before=False),
    "after commit": Point("worker.run_job:_end", before=False),
}
DISPATCHER = {
    "before publish": Point("ledger.outbox:publish", before=True),
    "after publish": Point("ledger.outbox:mark_published", before=True),
    "in the reaper's transaction": Point("ledger.reaper:reap", before=False, call=3),
}
API = {
    "before commit": Point("ledger.idempotency:remember", before=False),
    "after commit": Point("api.submission:announce", before=True),
    "after publish": Point("ledger.outbox:remove", before=True),
}


def install(point: Point, marker: Path, who: Who = "program", number: signal.Signals = signal.SIGKILL) -> None:
    """Send the signal at the point, the first time that any process reaches it; `marker` is the file that tells so."""
    module, _, path = point.function.partition(":")
    owner: Any = functools.reduce(getattr, path.split(".")[:-1], import_module(module))
    name = path.split(".")[-1]
    function: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def strike() -> None:
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
            strike()
        result = function(*arguments, **options)
        if not point.before:
            strike()
        return result

    setattr(owner, name, wrapped)
