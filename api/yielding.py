"""Long work at a low priority: an image that is slow to decode leaves the cores to all other programs."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

Result = TypeVar("Result")
NORMAL_SECONDS = 1.0
NICENESS = 5
"""Steps of priority, which leave a third of the weight: the work still ends on a busy machine."""


def yielding(function: Callable[..., Result], *args: Any, seconds: float = NORMAL_SECONDS, **options: Any) -> Result:
    """The result of `function`, which loses priority once it has run for `seconds`.

    It has a thread of its own, because no thread gets its priority back. Only Linux has priorities of threads.
    """
    with ThreadPoolExecutor(1) as thread:
        thread_id = thread.submit(threading.get_native_id).result()
        task = thread.submit(function, *args, **options)
        wait([task], timeout=seconds)
        if sys.platform == "linux" and not task.done():
            before = os.getpriority(os.PRIO_PROCESS, thread_id)
            os.setpriority(os.PRIO_PROCESS, thread_id, min(19, before + NICENESS))
        return task.result()
