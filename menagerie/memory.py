"""What a tree of processes holds together at its peak; single peaks, at different times, add up to more."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

_EVERY = 2.0
"""Seconds between samples: each walks the page tables of all processes, which is felt."""
_MB = 2**20


@contextmanager
def peak_of_the_tree() -> Iterator[Callable[[], float]]:
    """Watch this process and all that it starts, and theirs, while inside; yields the peak so far, in MB.

    A page that several processes share counts once, in parts (Linux's PSS; elsewhere only what each has for itself).
    """
    peak, done = held(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(_EVERY):
            peak = max(peak, held())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: peak
    finally:
        done.set()
        watcher.join()


def held() -> float:
    """MB held now by this process and all below it; one that ends meanwhile counts no more."""
    this = psutil.Process()
    return sum(_held(process) for process in (this, *this.children(recursive=True))) / _MB


def _held(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(memory, "pss", memory.uss))
