"""Uploaded pictures are unpacked in processes of their own, within limits of time and memory.

A header does not tell what a file costs: a JPEG of a few kilobytes may want a hundred thousand passes over its pixels.
A process can be ended in the middle of that; a thread could not.
"""

import os
import resource
from concurrent.futures import TimeoutError
from multiprocessing import get_context, parent_process
from threading import Thread

from anyio import CapacityLimiter
from pebble import ProcessExpired, ProcessPool

from api.image_sanitizer import Picture, Refused, normalised
from api.problems import Problem

AT_ONCE = 2
LONGEST_SECONDS = 20.0
MOST_MEMORY = 1536 << 20  # 50 million pixels take 1.1 GB
PICTURES_EACH = 500  # what a decoder leaks goes with its process


class Decoder:
    """`seconds` and `memory` (bytes of address space) are what one picture may take.

    Its processes start with the first picture. `turns` is for the threads that wait for it.
    """

    def __init__(self, seconds: float = LONGEST_SECONDS, memory: int = MOST_MEMORY) -> None:
        self.seconds, self.memory = seconds, memory
        self.turns = CapacityLimiter(AT_ONCE)
        self._pool = ProcessPool(
            AT_ONCE,
            max_tasks=PICTURES_EACH,
            initializer=_bound,
            initargs=(memory,),
            context=get_context("spawn"),  # a fork of a program with threads may hang
        )

    def __call__(self, content: bytes, *, most_bytes: int, shortest_side: int) -> Picture:
        """The normalised picture; waits for it. Raises Problem, with a code of its own for each kind of refusal."""
        bounds = {"most_bytes": most_bytes, "shortest_side": shortest_side}
        task = self._pool.schedule(normalised, args=(content,), kwargs=bounds, timeout=self.seconds)
        try:
            picture: Picture = task.result()
        except Refused as refusal:
            raise Problem(refusal.code, refusal.detail) from refusal
        except (TimeoutError, MemoryError, ProcessExpired) as error:
            detail = f"it takes more than {self.seconds:g} seconds or {self.memory >> 20} MiB to unpack"
            raise Problem("image_too_complex", f"{detail}: save it as a plain JPEG or PNG") from error
        return picture

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def _bound(memory: int) -> None:
    """In a new decoder: it may take so many bytes of address space, and ends with the program that it decodes for."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """The one who ends a decoder that takes too long may have been killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
