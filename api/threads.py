"""A few threads for one kind of work, so that none waits behind another kind that has come to a stop.

Few: they share one interpreter, and more of them only take its lock from each other.
"""

from asyncio import get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Threads:
    """Awaiting `threads(work, ...)` runs it in one of them, with the caller's context variables."""

    def __init__(self, name: str, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, name)

    async def __call__(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """What `work` returns or raises."""
        context = copy_context()
        return await get_running_loop().run_in_executor(self._pool, lambda: context.run(work, *args, **kwargs))

    def close(self) -> None:
        """After what is running and waiting."""
        self._pool.shutdown()
