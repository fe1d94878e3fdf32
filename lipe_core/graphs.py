"""CUDA graphs: the work of a function of tensors, recorded once and replayed by one call of the host.

https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs. A replay repeats the same operations at the same
places in memory, and runs no Python. Work can be recorded if it waits for nothing, copies nothing from the host, and if
all that changes from call to call are its inputs and the content of its weights.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lipe_core.memory import free_memory

Tensors = Mapping[str, Tensor]
Work = Callable[[Tensors], Tensors]
"""Takes and returns tensors by name."""

Recorder = Callable[[Callable[[], Tensors]], tuple[Callable[[], None], Tensors]]
"""Records the work of a call. Returns the function that replays it, and the tensors to which it writes its results."""

_WARM_UPS = 3

log = logging.getLogger(__name__)


def cuda_graph(work: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
    """Record as a CUDA graph. Libraries choose their kernels in the calls before, on a stream of their own."""
    stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Other threads store results meanwhile; "global", the default, would forbid them to use the GPU.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = work()
    return graph.replay, outputs


@dataclass(frozen=True)
class Captured:
    """The recorded work of a function. `inputs` and `outputs` are its places in memory."""

    inputs: Tensors
    replay: Callable[[], None]
    outputs: Tensors

    @classmethod
    def of(cls, work: Work, inputs: Tensors, record: Recorder = cuda_graph) -> "Captured":
        """Record the work on a copy of the inputs."""
        places = {name: tensor.detach().clone() for name, tensor in inputs.items()}
        return cls(places, *record(lambda: work(places)))

    @torch.no_grad()
    def __call__(self, inputs: Tensors) -> Tensors:
        """The outputs for these inputs, which have the names and shapes of the recorded ones."""
        torch._foreach_copy_(list(self.inputs.values()), [inputs[name] for name in self.inputs])
        self.replay()
        return {name: tensor.clone() for name, tensor in self.outputs.items()}


@dataclass
class Graphs:
    """The recordings used last, `most` of them, of the work of one network, whose `weights` they read.

    A recording serves calls of its kind, with inputs of its shapes, while the weights are where they were. If recording
    fails, all calls run as they are from then on, and `eager_because` says why.
    """

    weights: Sequence[Tensor] = ()
    record: Recorder = cuda_graph
    most: int = 8
    eager_because: str = ""
    _recordings: OrderedDict[Hashable, Captured] = field(default_factory=OrderedDict)

    def run(self, kind: Hashable, work: Work, inputs: Tensors) -> Tensors:
        """The result of the work. Work of one kind must do the same, whenever it has inputs of the same shapes."""
        if self.eager_because:
            return work(inputs)
        places = tuple(weight.data_ptr() for weight in self.weights)
        key = kind, places, tuple((name, each.shape, each.dtype, each.device) for name, each in inputs.items())
        if key not in self._recordings:
            try:
                self._recordings[key] = Captured.of(work, inputs, self.record)
            except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch without CUDA
                self.eager_because = f"recording failed: {error}"
            if self.eager_because:  # outside the handler, whose traceback keeps tensors alive
                log.warning("work runs without CUDA graphs from now on: %s", self.eager_because)
                self._recordings.clear()
                free_memory()
                return work(inputs)
            while len(self._recordings) > self.most:
                self._recordings.popitem(last=False)
        self._recordings.move_to_end(key)
        return self._recordings[key](inputs)

    def clear(self) -> None:
        """Drop all recordings, and free their memory."""
        if self._recordings:
            self._recordings.clear()
            free_memory()

    @contextmanager
    def only_inside(self) -> Iterator[None]:
        """Context manager for work on weights that exist only inside. It starts and ends without recordings."""
        self.clear()
        try:
            yield
        finally:
            self.clear()


@torch.no_grad()
def copy_weights(places: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Overwrite weights where they are, in one operation for all, so that recordings stay valid."""
    torch._foreach_copy_(list(places), list(values))
