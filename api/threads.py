"""Small thread pools, one for each kind of work, so that one kind does not wait behind another that blocks.

The pools are small because all threads share the interpreter's lock: more of them slow each other down.
"""

from asyncio import get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Threads:
    """`await threads(function, ...)` runs the function in one of the threads, with the caller's context variables."""

    def __init__(self, name: str, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, name)

    async def __call__(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """The result of `function`, or its exception."""
        context = copy_context()
        return await get_running_loop().run_in_executor(self._pool, lambda: context.run(function, *args, **kwargs))

    def close(self) -> None:
        """Wait for the functions that run or wait, then end the threads."""
        self._pool.shutdown()
