"""The precision that is fast on a device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_INSTRUCTIONS = ("amx_bf16", "bf16")
"""Capability names of Intel's matrix unit, then of ARM processors.

`avx512_bf16` is not among them: with it alone, a training step of both miniatures takes 1.4 to 1.5 times as long in
bfloat16 as in float32.
"""


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether the device is faster in bfloat16 than in float32. One that emulates bfloat16 is many times slower."""
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in _INSTRUCTIONS)


def network_dtype(device: torch.device | str) -> torch.dtype:
    """The precision of a base model: bfloat16 on a GPU, float16 on one without it (before Ampere), float32 on a CPU."""
    if torch.device(device).type == "cpu":
        return torch.float32
    return torch.bfloat16 if has_bfloat16(device) else torch.float16


def autocast(device: torch.device | str) -> torch.autocast:
    """Autocast to bfloat16 where the device has it; disabled elsewhere."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=has_bfloat16(device))


def compute_dtype(x: torch.Tensor) -> torch.dtype:
    """The precision in which `torch.nn.functional.linear` would compute with x: autocast's, or that of x."""
    kind = x.device.type
    autocasts = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if autocasts else x.dtype


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Context manager that treats the smallest numbers as zero in this thread, and in those that it starts.

    A CPU takes up to a hundred times as long for them. A training step of the miniature takes a fifth less time, and
    its results are the same to the byte.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
