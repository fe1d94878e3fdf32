"""Samples encoded once: the VAE's means and both text encoders' embeddings, before the first training step."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from lipe_core import sdxl
from lipe_core.conditioning import Conditioning
from lipe_core.randomness import stream
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, RowIndices
from lipe_core.subject import Sample

_ROWS_AT_ONCE = 8


@dataclass(frozen=True)
class EncodedSet:
    """Row k: the latents, conditioning and caption of sample k. All rows have one size."""

    latents: Latents
    conditioning: Conditioning
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.captions)

    def select(self, rows: RowIndices) -> "EncodedSet":
        """The rows with these indices, in this order."""
        captions = tuple(self.captions[row] for row in rows.tolist())
        return EncodedSet(self.latents[rows], self.conditioning.select(rows), captions)


def encode(model: BaseModel, samples: Sequence[Sample]) -> EncodedSet:
    """Encode samples, each fitted into the network's native square, on the model's device; kept on the CPU."""
    if not samples:
        raise ValueError("there is nothing to encode: give at least one sample")
    side = model.native_size
    images = [ImageOps.fit(sample.image.convert("RGB"), (side, side), Image.Resampling.LANCZOS) for sample in samples]
    parts = [images[k : k + _ROWS_AT_ONCE] for k in range(0, len(images), _ROWS_AT_ONCE)]
    latents = torch.cat([sdxl.encode_image(model, part).cpu() for part in parts])
    return with_captions(model, latents, [sample.caption for sample in samples])


def with_captions(model: BaseModel, latents: Latents, captions: Sequence[str]) -> EncodedSet:
    """Latents that are known already, with their captions encoded."""
    size = (latents.shape[2] * model.factor, latents.shape[3] * model.factor)
    conditioning = sdxl.encode_prompt(model, captions, size=size).to("cpu", torch.float32)
    return EncodedSet(latents.float().cpu(), conditioning, tuple(captions))


def batch(encoded: EncodedSet, step: int, size: int, seed: int) -> EncodedSet:
    """The rows of one step. Every row comes once in each round, in an order that (seed, round) decides."""
    count = len(encoded)
    places = range(step * size, (step + 1) * size)
    orders = {
        place // count: torch.randperm(count, generator=stream("order", seed, place // count)) for place in places
    }
    return encoded.select(torch.stack([orders[place // count][place % count] for place in places]))


def save(encoded: EncodedSet, file: Path) -> None:
    """Write one safetensors file, whole or not at all."""
    tensors = {
        "latents": encoded.latents.contiguous(),
        "prompt_embeds": encoded.conditioning.prompt_embeds.contiguous(),
        "pooled_prompt_embeds": encoded.conditioning.pooled_prompt_embeds.contiguous(),
        "time_ids": encoded.conditioning.time_ids.contiguous(),
    }
    write_tensors(tensors, file, {"captions": json.dumps(encoded.captions)})


def load(file: Path) -> EncodedSet:
    """What `save` wrote."""
    with safe_open(file, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
        captions = tuple(json.loads(stored.metadata()["captions"]))
    latents = tensors.pop("latents")
    return EncodedSet(latents, Conditioning(**tensors), captions)


def write_tensors(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
    """A safetensors file that appears under its name only when it is complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        save_file(tensors, unfinished, metadata)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
