"""What to do if the memory of a GPU is full: free it, and work on fewer rows at once."""

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def in_chunks(count: int, work: Callable[[range], Result], *, at_most: int | None = None) -> list[Result]:
    """Call `work` with consecutive ranges that cover `count` rows, and return its results in order.

    The first range has all rows, or `at_most` of them. Each time that the memory is full, the ranges become half as
    long, and the work goes on with the first row that has no result. Raises torch.OutOfMemoryError if a single row
    does not fit.
    """
    results: list[Result] = []
    done, size = 0, at_most or count
    while done < count:
        rows = range(done, min(done + size, count))
        made = _unless_full(work, rows)
        if made:
            results += made
            done = rows.stop
        else:
            free_memory()  # not in the handler, whose traceback keeps tensors alive
            size = len(rows) // 2
    return results


def _unless_full(work: Callable[[range], Result], rows: range) -> list[Result]:
    """The result of the work, or nothing if the memory is full and fewer rows are possible."""
    try:
        return [work(rows)]
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            raise
        return []


def free_memory() -> None:
    """Return memory that no object uses to the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
