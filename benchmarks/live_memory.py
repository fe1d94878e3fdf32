"""The peak of live tensor memory in a block, also of fake tensors, which have shapes but no content.

An operation's result is counted from the moment that it exists until nothing refers to its storage, autograd
included. Not counted are the workspaces of libraries, such as cuDNN's, and what an allocator keeps or cannot use.
"""

import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts bytes: `now`, and the `peak`. The memory of `resident` tensors is not counted."""

    def __init__(self, resident: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.peak: int = 0
        self._known: weakref.WeakKeyDictionary[torch.UntypedStorage, int] = weakref.WeakKeyDictionary()
        for tensor in resident:
            self._known[tensor.untyped_storage()] = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count the storages of its results."""
        results: Any = function(*arguments, **(options or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor):
                self._count(result.untyped_storage())
        return results

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known[storage] = size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.now -= size


def peak_bytes(work: Callable[[], object], resident: Iterable[Tensor]) -> int:
    """The peak memory of one call beside the resident tensors."""
    memory = LiveMemory(resident)
    with memory:
        work()
    return memory.peak


def flops(work: Callable[[], object]) -> int:
    """The multiplications and additions of one call. Fused attention counts as its two matrix products."""
    with ExitStack() as counting:
        counting.enter_context(sdpa_kernel(SDPBackend.MATH))
        counter = counting.enter_context(FlopCounterMode(display=False))
        work()
    return int(counter.get_total_flops())
