"""The peak memory of a tree of processes. It is less than the sum of their peaks, which occur at different times."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

_INTERVAL = 2.0
"""Seconds between samples: each walks the page tables of all processes, which costs time."""
_MB = 2**20


@contextmanager
def track_peak_memory() -> Iterator[Callable[[], float]]:
    """Sample the memory of this process and of all processes below it. Yields a function: the peak so far, in MB.

    A page that several processes share counts once (Linux's PSS). Other systems count private pages only.
    """
    peak, done = tree_memory_mb(), threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(_INTERVAL):
            peak = max(peak, tree_memory_mb())

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield lambda: peak
    finally:
        done.set()
        sampler.join()


def tree_memory_mb() -> float:
    """MB of this process and all processes below it now. A process that ends during the call counts as 0."""
    this = psutil.Process()
    return sum(_memory_bytes(process) for process in (this, *this.children(recursive=True))) / _MB


def _memory_bytes(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(memory, "pss", memory.uss))
