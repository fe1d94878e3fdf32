"""GPU memory and work of each phase at SDXL's true size, as ``python -m benchmarks.sdxl_memory`` counted them.

Memory is in bytes of live tensors beside the resident networks, for images of 1024 x 1024. The workspaces of libraries,
such as cuDNN's, and the allocator's gaps come on top: RESERVE. Work is in FLOPs (multiplications and additions).
"""

from collections.abc import Mapping
from types import MappingProxyType

TRAININGS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "lora": {"plain": 11_661_008_000, "with gradient checkpointing": 1_375_093_000, "row by row": 826_893_000},
        "full_attention": {
            "plain": 22_760_099_000,
            "with gradient checkpointing": 15_677_366_000,
            "row by row": 15_454_953_000,
        },
    }
)
"""A step with one reference and one regularization image, by tuning, in the ways in which the worker tries it.

Weights, gradients and moments of the optimizer are in it; the LoRA has rank 16.
"""
MULTIPLIED = 92_898_000
"""Weights of 8 bits take so much more in a step with gradient checkpointing, and less in a plain one: those of the
layers at work, multiplied out."""
EDIT_ROW = 382_457_000
"""One guided evaluation of one edit, which reads the source's features, with the keys and values of its prompts, which
stay for all steps. Several rows take as many times as much."""
FEATURES_STEP = 83_886_000
"""The source's features of one step, which stay for the whole edit."""
DECODED_IMAGE = 1_617_297_000
"""Decoding one image, and encoding needs less, by a VAE in bfloat16; twice as much in float32."""
DECODED_TILE = 414_745_000
"""The same in tiles of 512 pixels."""
CAPTION = 521_890_000
"""LLaVA 1.5 7B's answer about one image, with its keys and values."""
RESERVE = 3_500_000_000
"""Workspaces of libraries and gaps. The one GPU that was measured, an H200, took 22.0 GB for a plain step of a LoRA,
3.4 GB more than the count."""

EVALUATION_FLOPS = 6_761_236_000_000
"""One evaluation of one row."""
DECODING_FLOPS = 10_470_393_000_000
ENCODING_FLOPS = 4_878_951_000_000
CAPTION_FLOPS = 11_079_071_000_000
"""The pass over image and question; the answer's tokens are bound by memory, not by FLOPs."""

RESIDENT = 6_937_676_000
"""All networks of stabilityai/stable-diffusion-xl-base-1.0, 2 bytes a parameter."""
PRIOR = 1_911_000_000
"""The attention weights that a prior changes, 2 bytes a parameter."""

EDIT_FEATURE_STEPS = 14
"""Steps of an edit of 20 steps in which it reads the source's features, by the default settings."""


def needs_tiles(card: int, resident: int, vae_bytes: int = 2, prior: int = PRIOR) -> bool:
    """Whether a GPU with `card` bytes is too small to decode whole images of SDXL's size during an edit.

    `vae_bytes` is the size of a number in the VAE, and `prior` the memory of a prior.
    """
    features = EDIT_FEATURE_STEPS * FEATURES_STEP
    return resident + prior + features + DECODED_IMAGE * vae_bytes // 2 + RESERVE > card
