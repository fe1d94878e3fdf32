"""Long work at a low priority: an image that is slow to decode leaves the cores to all other programs."""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")
POLL_SECONDS = 0.1


class Step(NamedTuple):
    """Work that has used `seconds` of CPU time goes on with this niceness, relative to that of its process."""

    seconds: float
    niceness: int


STEPS = (Step(1.0, 5), Step(4.0, 15))
"""A third of the weight, with which the largest images still end on a busy machine, and then a thirtieth."""


def yielding(function: Callable[..., Result], *args: Any, steps: Sequence[Step] = STEPS, **options: Any) -> Result:
    """The result of `function`, which loses priority in `steps`.

    It has a thread of its own, because no thread gets its priority back. Only Linux has priorities of threads.
    """
    with ThreadPoolExecutor(1) as thread:
        ids = thread.submit(lambda: (threading.get_ident(), threading.get_native_id())).result()
        task = thread.submit(function, *args, **options)
        if sys.platform == "linux":
            _lower(task, *ids, steps)
        return task.result()


def _lower(task: Future[Any], thread: int, native_id: int, steps: Sequence[Step]) -> None:
    """Lower the priority of the task's thread step by step, until it ends or the last step is taken."""
    before, clock = os.getpriority(os.PRIO_PROCESS, native_id), time.pthread_getcpuclockid(thread)
    for step in steps:
        while (rest := step.seconds - time.clock_gettime(clock)) > 0:
            if wait([task], timeout=max(rest, POLL_SECONDS)).done:
                return
        os.setpriority(os.PRIO_PROCESS, native_id, min(19, before + step.niceness))
