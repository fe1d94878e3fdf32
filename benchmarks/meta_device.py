"""A device without content that counts what a GPU would have to do: PyTorch's meta device under a dispatch mode.

Tensors on the meta device have shapes and types only, so that SDXL runs at its true size in seconds. Tensors on the
CPU, such as random numbers and tokens, are real. Each operation that reaches the device is a kernel, a view or an
allocation. A GPU splits some of them into several kernels, such as a group normalization or an operation on a list.
Where a program asks the device for content, it would wait for the GPU: the mode counts this and answers with ones.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks import sdxl_size
from benchmarks.sdxl_size import Scale
from lipe_core.sdxl import BaseModel

META = torch.device("meta")

_VIEWS = {"_unsafe_view", "detach", "alias", "lift_fresh", "_reshape_alias"}
_ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
_ATTENTION = {"_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_backward"}
_CONVOLUTION = {"convolution", "convolution_backward"}


@dataclass
class Counts:
    """The operations that one piece of work sends to the device.

    `waits` are the places where the host waits for the device, `uploads` those where it sends it content; each with
    the name of the operation. FLOPs are multiplications and additions.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    views: int = 0
    allocations: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)
    flops: Counter[str] = field(default_factory=Counter)

    @property
    def dispatches(self) -> int:
        """Kernels and views: each costs the host some microseconds."""
        return self.kernels.total() + self.views

    def summary(self) -> dict[str, Any]:
        """The numbers as JSON, FLOPs in TFLOP."""
        return {
            "kernels": self.kernels.total(), "views": self.views, "waits": self.waits.total(),
            "uploads": self.uploads.total(), "tflop": round(self.flops.total() / 1e12, 2),
            **{f"{kind}_tflop": round(count / 1e12, 2) for kind, count in sorted(self.flops.items())},
        }  # fmt: skip


class DeviceCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations on the meta device in its block."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = counts

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Count one operation and run it. One that needs content is answered with ones."""
        options = options or {}
        inputs = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        name = function.overloadpacket.__name__
        on_device = [tensor.device == META for tensor in inputs]
        if any(on_device) and _reads_content(name, arguments, options):
            self.counts.waits[name] += 1
            return _ones(name, arguments, options)
        result = function(*arguments, **options)
        if any(on_device) or any(leaf.device == META for leaf in tree_leaves(result) if isinstance(leaf, Tensor)):
            uploaded = any(not on and tensor.ndim for on, tensor in zip(on_device, inputs, strict=True))
            if uploaded or (name == "_to_copy" and not any(on_device)):
                self.counts.uploads[name] += 1
            self._count(function, name, arguments, options, result)
        return result

    def _count(self, function: Any, name: str, arguments: Any, options: Any, result: Any) -> None:
        if function.is_view or name in _VIEWS:
            self.counts.views += 1
        elif name in _ALLOCATIONS:
            self.counts.allocations += 1
        elif not name.startswith(("sym_", "is_", "device")):
            self.counts.kernels[name] += 1
        if function.overloadpacket in flop_registry:
            kind = "attention" if name in _ATTENTION else "convolution" if name in _CONVOLUTION else "gemm"
            self.counts.flops[kind] += int(
                flop_registry[function.overloadpacket](*arguments, **options, out_val=result)
            )


def _reads_content(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether the host needs content of the device, or the shape of a result depends on it."""
    if name in ("_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2", "is_nonzero"):
        return True
    if name == "_to_copy":
        return torch.device(options.get("device") or META) != META
    if name == "copy_":
        return bool(arguments[0].device != META)
    if name == "index":
        return any(isinstance(index, Tensor) and index.dtype == torch.bool for index in arguments[1])
    return False


def _ones(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """An answer of the right type and shape."""
    tensor: Tensor = arguments[0]
    if name == "_local_scalar_dense":
        return torch.ones((), dtype=tensor.dtype, device="cpu").tolist()
    if name == "copy_":
        return tensor.fill_(1)
    if name == "_to_copy":
        return torch.ones(tensor.shape, dtype=options.get("dtype") or tensor.dtype, device="cpu")
    if name == "nonzero":
        return torch.empty((1, tensor.ndim), dtype=torch.long, device=META)
    if name == "index":
        return torch.empty((math.prod(tensor.shape[: arguments[1][0].ndim]), *tensor.shape[1:]), device=META)
    return True


class FusedAttention(TorchFunctionMode):
    """Attention as one kernel, as on a GPU. The meta device alone would split it into its products."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Replace the attention of tensors on the meta device."""
        options = dict(options or {})
        if function is scaled_dot_product_attention:
            names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
            given = dict(zip(names, arguments, strict=False)) | options
            if given["query"].device == META and given.get("attn_mask") is None:
                attend = torch.ops.aten._scaled_dot_product_flash_attention
                return attend(given["query"], given["key"], given["value"], scale=given.get("scale"))[0]
        return function(*arguments, **options)


@contextmanager
def as_gpu() -> Iterator[None]:
    """Context manager in which the meta device has a GPU's fused kernels: attention, AdamW, and lists of tensors."""
    with FusedAttention(), ExitStack() as patches:
        for module in ("torch.optim.optimizer", "torch.utils._foreach_utils"):
            for kind in ("fused", "foreach"):
                patches.enter_context(patch(f"{module}._get_{kind}_kernels_supported_devices", lambda: ["meta"]))
        yield


def counted(work: Callable[[], object]) -> Counts:
    """The counts of one call."""
    counts = Counts()
    with as_gpu(), DeviceCounter(counts):
        work()
    return counts


def meta_model(scale: Scale) -> BaseModel:
    """SDXL's networks in bfloat16 on the meta device, at its true size or smaller."""
    return sdxl_size.model(scale, META, torch.bfloat16)


def weights(model: BaseModel) -> list[Tensor]:
    """The tensors of all networks."""
    networks = model.unet, model.vae, *model.text_encoders
    return [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
