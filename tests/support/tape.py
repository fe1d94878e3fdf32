"""A stand-in for a CUDA graph on a CPU: operations are recorded, and replayed on the same tensors without Python."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lipe_core.graphs import Recorder, Tensors

_READS_CONTENT = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2", "is_nonzero"}
_UPLOADS = {"lift_fresh", "lift"}
"""Tensors from Python's numbers, which a GPU copies from the host."""


class CannotBeRecorded(RuntimeError):
    """Work that a CUDA graph cannot hold, or that a replay would do with old content."""


class _Tape(TorchDispatchMode):
    def __init__(self, fixed: Iterable[Tensor]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr(): tensor for tensor in fixed}
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor], bool]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Run and record one operation. Raises CannotBeRecorded."""
        options, name = options or {}, function.overloadpacket.__name__
        inputs = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        if name in _READS_CONTENT:
            raise CannotBeRecorded(f"{name} makes the host wait")
        if name in _UPLOADS and any(tensor.ndim for tensor in inputs):
            raise CannotBeRecorded("a tensor is copied from the host")
        if name == "index" and any(isinstance(each, Tensor) and each.dtype == torch.bool for each in arguments[1]):
            raise CannotBeRecorded("the shape of a result depends on content")
        if name not in _UPLOADS:
            for tensor in inputs:
                if tensor.untyped_storage().data_ptr() not in self.known and tensor.numel():
                    raise CannotBeRecorded(f"{name} reads a tensor of another place: {tuple(tensor.shape)}")
        result = function(*arguments, **options)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        is_new = {each.untyped_storage().data_ptr() for each in made}.isdisjoint(
            tensor.untyped_storage().data_ptr() for tensor in inputs
        )
        self.known |= {tensor.untyped_storage().data_ptr(): tensor for tensor in made}
        self.operations.append((function, arguments, options, made, is_new))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Do all operations again. A result that is no view is written to where it was."""
        for function, arguments, options, made, is_new in self.operations:
            if function.is_view:
                continue
            again = function(*arguments, **options)
            if is_new:
                for place, tensor in zip(made, tree_leaves(again), strict=False):
                    place.copy_(tensor)


def tape(*fixed: Tensor) -> Recorder:
    """A recorder of work that may read `fixed` tensors beside its inputs.

    It refuses what a CUDA graph would refuse: waits, copies from the host, shapes that depend on content, and tensors
    that lie elsewhere at the next call. The first call is a warm-up.
    """

    def record(work: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
        work()
        recorded = _Tape([*_cells(work), *fixed])
        with recorded:
            outputs = work()
        return recorded.replay, outputs

    return record


def _cells(work: Callable[[], Tensors]) -> list[Tensor]:
    """The places of the inputs, which the function closes over."""
    contents = [cell.cell_contents for cell in getattr(work, "__closure__", None) or ()]
    return [leaf for leaf in tree_leaves(contents) if isinstance(leaf, Tensor)]
