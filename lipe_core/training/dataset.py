"""Samples encoded once: the VAE's means and both text encoders' embeddings, before the first training step."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image, ImageOps
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from lipe_core import sdxl
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.randomness import stream
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, Mask, RowIndices, Size
from lipe_core.subject import Sample

_ROWS_AT_ONCE = 8


@dataclass(frozen=True)
class EncodedSet:
    """Row k: the latents, conditioning and caption of sample k. All rows have one size.

    `emphasis`, where there is one, is how much each place counts in the loss.
    """

    latents: Latents
    conditioning: Conditioning
    captions: tuple[str, ...]
    emphasis: Mask | None = None

    @property
    def weights(self) -> Mask:
        """The emphasis, ones where there is none."""
        return self.latents.new_ones(self.latents[:, :1].shape) if self.emphasis is None else self.emphasis

    def __len__(self) -> int:
        return len(self.captions)

    @classmethod
    def concat(cls, parts: Sequence["EncodedSet"]) -> "EncodedSet":
        """The rows of all parts, one after the other; they must have one size."""
        return cls(
            torch.cat([part.latents for part in parts]),
            Conditioning.concat([part.conditioning for part in parts]),
            tuple(caption for part in parts for caption in part.captions),
            torch.cat([part.weights for part in parts]),
        )

    def select(self, rows: RowIndices) -> "EncodedSet":
        """The rows with these indices, in this order."""
        captions = tuple(self.captions[row] for row in rows.tolist())
        return EncodedSet(self.latents[rows], self.conditioning.select(rows), captions, self.weights[rows])


def encode(model: BaseModel, samples: Sequence[Sample]) -> tuple[EncodedSet, ...]:
    """Encode samples on the model's device, kept on the CPU: one set for each size, so that nothing is squeezed.

    A picture keeps its shape and takes the area that the network was trained on; what its sides lose to be
    multiples is cut off evenly, and the network is told (SDXL, https://arxiv.org/abs/2307.01952, sections 2.2, 2.3).
    """
    if not samples:
        raise ValueError("there is nothing to encode: give at least one sample")
    buckets: dict[Size, list[Sample]] = {}
    for sample in samples:
        buckets.setdefault(sdxl.native_shape(model, (sample.image.height, sample.image.width)), []).append(sample)
    return tuple(_encode_bucket(model, size, bucket) for size, bucket in buckets.items())


def _encode_bucket(model: BaseModel, size: Size, samples: Sequence[Sample]) -> EncodedSet:
    height, width = size
    images = [ImageOps.fit(s.image.convert("RGB"), (width, height), Image.Resampling.LANCZOS) for s in samples]
    parts = [images[k : k + _ROWS_AT_ONCE] for k in range(0, len(images), _ROWS_AT_ONCE)]
    latents = torch.cat([sdxl.encode_image(model, part).cpu() for part in parts])
    encoded = with_captions(model, latents, [sample.caption for sample in samples])
    time_ids = torch.tensor([_time_ids((sample.image.height, sample.image.width), size) for sample in samples])
    return replace(encoded, conditioning=replace(encoded.conditioning, time_ids=time_ids))


def _time_ids(original: Size, size: Size) -> tuple[float, ...]:
    """SDXL's micro-conditioning of a picture fitted into `size`.

    A larger original counts as one of `size`, because that is what an edit will ask for; a smaller one is called small,
    so that its blur is not learnt as the subject's look.
    """
    scale = max(size[0] / original[0], size[1] / original[1])
    top, left = (round((scale * side - target) / 2) for side, target in zip(original, size, strict=True))
    height, width = (min(side, target) for side, target in zip(original, size, strict=True))
    return tuple(map(float, (height, width, top, left, *size)))


def with_captions(model: BaseModel, latents: Latents, captions: Sequence[str]) -> EncodedSet:
    """Latents that are known already, with their captions encoded."""
    size = (latents.shape[2] * model.factor, latents.shape[3] * model.factor)
    conditioning = sdxl.encode_prompt(model, captions, size=size).to("cpu", torch.float32)
    return EncodedSet(latents.float().cpu(), conditioning, tuple(captions))


def reencode_captions(model: BaseModel, encoded: EncodedSet) -> EncodedSet:
    """The same rows with their captions encoded anew, because what a word means is being learnt. Gradients flow."""
    told = with_captions(model, encoded.latents, encoded.captions).conditioning
    return replace(encoded, conditioning=replace(told, time_ids=encoded.conditioning.time_ids))


def batch(buckets: Sequence[EncodedSet], step: int, size: int, seed: int) -> EncodedSet:
    """The rows of one step, all of one bucket; a bucket's turns are as many as its rows, in an order of (seed, round).

    Within a bucket every row comes once in each of its own rounds.
    """
    turns = [k for k, bucket in enumerate(buckets) for _ in range(len(bucket))]
    round_, place = divmod(step, len(turns))
    order = [turns[k] for k in torch.randperm(len(turns), generator=stream("bucket", seed, round_)).tolist()]
    chosen = order[place]
    return _rows(buckets[chosen], round_ * len(buckets[chosen]) + order[:place].count(chosen), size, seed)


def _rows(encoded: EncodedSet, step: int, size: int, seed: int) -> EncodedSet:
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
