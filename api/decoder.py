"""Decoding of uploaded images in separate processes, within limits of time and memory, slow ones at a low priority.

A file's header does not tell what decoding it costs: a JPEG of a few kilobytes may need a hundred thousand passes over
its pixels. A process can be ended in the middle of that; a thread cannot.
"""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, TimeoutError
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Lock, Thread
from typing import Any, TypeVar

from anyio import CapacityLimiter
from pebble import ProcessExpired, ProcessPool

from api.credential_reader import read_untrusted
from api.decoder_sandbox import close_ways_out
from api.fair_queue import FairQueue
from api.image_formats import ImageRefused
from api.image_sanitizer import SanitizedImage, sanitize_image
from api.problems import Problem
from api.watermark_reader import ReadWatermark, find_watermark
from api.yielding import yielding
from provenance.reading import Credentials, Trust

Result = TypeVar("Result")
PROCESSES = 2
MAX_SECONDS = 20.0
MAX_MEMORY = 1792 << 20  # an image of 50 million pixels takes 1.1 GB, and the libraries 0.3 GB
IMAGES_PER_PROCESS = 500  # a new process frees the memory that the decoding libraries leak


class Decoder:
    """A pool of decoding processes, which start with the first image.

    `seconds` and `memory` (bytes of address space) limit each image. `queue` gives each project its turn: wait for it
    before you call. `limiter` is for the threads that wait for the result.
    """

    def __init__(self, seconds: float = MAX_SECONDS, memory: int = MAX_MEMORY) -> None:
        self.seconds, self.memory = seconds, memory
        self.queue, self.limiter = FairQueue(PROCESSES), CapacityLimiter(PROCESSES)
        self._lock, self._is_closed = Lock(), False
        self._tasks: set[Future[Any]] = set()
        self._pool = self._new_pool()

    def __call__(self, content: bytes, *, max_bytes: int, min_side: int, find_faces: bool = False) -> SanitizedImage:
        """Wait for the sanitized image. Raises Problem, with a code of its own for each kind of refusal."""
        bounds = {"max_bytes": max_bytes, "min_side": min_side, "find_faces": find_faces}
        with self._refusals():
            try:
                return self._run(sanitize_image, content, **bounds)
            except ProcessExpired:  # perhaps while it rebuilt a damaged JPEG
                return self._run(sanitize_image, content, **bounds, keep_jpeg=False)

    def read_credentials(self, content: bytes, trust: Trust, *, max_bytes: int) -> Credentials:
        """Wait for the Content Credentials of a file. Raises Problem as for an upload."""
        with self._refusals():
            return self._run(read_untrusted, content, trust, max_bytes=max_bytes)

    def find_watermark(self, content: bytes, key: bytes) -> ReadWatermark:
        """Wait for the search of the watermark in a file. Raises Problem as for an upload."""
        with self._refusals():
            return self._run(find_watermark, content, key)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Context manager that turns a refusal, and the end of a decoding process, into a Problem."""
        try:
            yield
        except ImageRefused as refusal:
            raise Problem(refusal.code, refusal.detail) from refusal
        except (TimeoutError, MemoryError, ProcessExpired) as error:
            detail = f"decoding it takes more than {self.seconds:g} seconds or {self.memory >> 20} MiB"
            raise Problem("image_too_complex", f"{detail}: save it as a plain JPEG or PNG") from error

    def _run(self, function: Callable[..., Result], *args: Any, **options: Any) -> Result:
        """The result of `function` in a process. Raises Problem once the decoder is closed."""
        with self._lock:
            if self._is_closed:
                raise Problem("internal", "the service is ending: send the same request again")
            if not self._pool.active:  # one of its processes was ended from outside while it waited
                self._end_pool()
                self._pool = self._new_pool()
            work = yielding, (function, *args), options
            task: Future[Result] = self._pool.schedule(*work, timeout=self.seconds)
            self._tasks.add(task)
        try:
            return task.result()
        finally:
            with self._lock:
                self._tasks.discard(task)

    def close(self) -> None:
        """End the processes, including those that still decode. Requests that wait for them get an error."""
        with self._lock:
            self._is_closed = True
            for task in self._tasks:  # the end of the pool leaves them without a result
                task.cancel()
        self._end_pool()

    def _new_pool(self) -> ProcessPool:
        # A process forked from this one may inherit a lock that a thread holds. The server's has no threads, and has
        # imported the libraries once for all of them.
        context = get_context("forkserver")
        context.set_forkserver_preload(["__main__", "api.decoder_libraries"])
        return ProcessPool(
            PROCESSES + 1,  # a spare: another one may have been ended and start anew
            max_tasks=IMAGES_PER_PROCESS,
            initializer=_start,
            initargs=(self.memory,),
            context=context,
        )

    def _end_pool(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def _start(memory: int) -> None:
    """Set up a new decoding process: limit its address space, and end it when the API's process ends.

    From then on it opens no socket and starts no program.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # A handler in Python, such as the pool's, waits for the native decoder, and all other images wait meanwhile.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()
    close_ways_out()


def _end_with_parent() -> None:
    """A killed parent cannot end its decoders, and the time limit is the parent's."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
