"""Work in a thread that ends with it, so that its OpenMP threads end, too.

OpenMP keeps a team of threads for each thread that has computed. As soon as all teams together are more threads than
cores, they sleep between two operations and do not wait awake. The thread of the jobs must then wake its team
thousands of times a second: a training step of the miniature on two cores took 2.1 times as long.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_short_thread(work: Callable[[], T]) -> T:
    """The result of `work`, which may raise."""
    with ThreadPoolExecutor(1, thread_name_prefix="short") as thread:
        return thread.submit(work).result()
