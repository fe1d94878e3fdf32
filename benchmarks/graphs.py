"""CUDA graphs: the work of a function, recorded once for each shape of its inputs and replayed by one call of the host.

https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs. A function can be recorded if it waits for nothing,
copies nothing from the host, and finds its weights at the same places; weights change by `copy_weights`.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Work = Callable[..., Tensor]
Recorder = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""Records the work of a call. Returns the function that replays it, and the tensor to which it writes its result."""

_WARM_UPS = 3


def cuda_graph(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record as a CUDA graph. Libraries choose their kernels in the calls before, on a stream of their own."""
    stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = work()
    return graph.replay, output


@dataclass
class Graphed:
    """The function `work` of tensors with a recording for each shape of its inputs, of which the last `most` are kept.

    If recording fails, all calls run `work` itself, and `eager_because` says why.
    """

    work: Work
    record: Recorder = cuda_graph
    most: int = 4
    eager_because: str = ""
    _recordings: OrderedDict[object, tuple[Sequence[Tensor], Callable[[], None], Tensor]] = field(
        default_factory=OrderedDict
    )

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The result of `work`, in a tensor that the next call of the same shape overwrites."""
        if self.eager_because:
            return self.work(*inputs)
        key = tuple((each.shape, each.dtype, each.device) for each in inputs)
        if key not in self._recordings:
            try:
                places = [each.clone() for each in inputs]
                self._recordings[key] = (places, *self.record(lambda: self.work(*places)))
            except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch without CUDA
                self.eager_because = f"recording failed: {error}"
                return self.work(*inputs)
            while len(self._recordings) > self.most:
                self._recordings.popitem(last=False)
        self._recordings.move_to_end(key)
        kept, replay, output = self._recordings[key]
        torch._foreach_copy_(list(kept), list(inputs))
        replay()
        return output


@torch.no_grad()
def copy_weights(places: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Overwrite weights where they are, in one operation for all, so that recordings stay valid."""
    torch._foreach_copy_(list(places), list(values))
