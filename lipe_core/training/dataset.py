"""Encoded samples: latents and text embeddings, computed once before the first training step."""

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

from lipe_core import backbone
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.memory import in_chunks
from lipe_core.randomness import stream
from lipe_core.shapes import Latents, Mask, RowIndices, Size
from lipe_core.subject import Sample

_ROWS_AT_ONCE = 8


@dataclass(frozen=True)
class EncodedSet:
    """Latents, conditioning and caption of each sample, one row each. All rows have one size.

    `emphasis` is the weight of each position in the loss; None means that all count alike.
    """

    latents: Latents
    conditioning: Conditioning
    captions: tuple[str, ...]
    emphasis: Mask | None = None

    @property
    def loss_weights(self) -> Mask:
        """The emphasis, or ones without one."""
        return self.latents.new_ones(self.latents[:, :1].shape) if self.emphasis is None else self.emphasis

    def __len__(self) -> int:
        return len(self.captions)

    @classmethod
    def concat(cls, parts: Sequence["EncodedSet"]) -> "EncodedSet":
        """The rows of all parts, in order; they must have one size."""
        return cls(
            torch.cat([part.latents for part in parts]),
            Conditioning.concat([part.conditioning for part in parts]),
            tuple(caption for part in parts for caption in part.captions),
            torch.cat([part.loss_weights for part in parts]),
        )

    def select(self, rows: RowIndices) -> "EncodedSet":
        """The rows with these indices, in this order."""
        captions = tuple(self.captions[row] for row in rows.tolist())
        return EncodedSet(self.latents[rows], self.conditioning.select(rows), captions, self.loss_weights[rows])


def encode(model: BaseModel, samples: Sequence[Sample]) -> tuple[EncodedSet, ...]:
    """Encode samples on the model's device and return them on the CPU, one set for each size.

    An image keeps its shape and is resized to the area that the network was trained on. Its sides are cropped evenly
    to multiples that the network can process; micro-conditioning states the crop (SDXL,
    https://arxiv.org/abs/2307.01952, sections 2.2 and 2.3). Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("there is nothing to encode: give at least one sample")
    buckets: dict[Size, list[Sample]] = {}
    for sample in samples:
        buckets.setdefault(model.native_shape((sample.image.height, sample.image.width)), []).append(sample)
    return tuple(_encode_bucket(model, size, bucket) for size, bucket in buckets.items())


def _encode_bucket(model: BaseModel, size: Size, samples: Sequence[Sample]) -> EncodedSet:
    height, width = size
    images = [ImageOps.fit(s.image.convert("RGB"), (width, height), Image.Resampling.LANCZOS) for s in samples]

    def encode_rows(rows: range) -> Latents:
        return backbone.encode_image(model, images[rows.start : rows.stop]).cpu()

    latents = torch.cat(in_chunks(len(images), encode_rows, at_most=_ROWS_AT_ONCE))
    encoded = with_captions(model, latents, [sample.caption for sample in samples])
    originals = [(sample.image.height, sample.image.width) for sample in samples]
    originals = [(sample.image.height, sample.image.width) for sample in samples]
    time_ids = torch.tensor([model.size_conditioning(original, size) for original in originals])
    return replace(encoded, conditioning=replace(encoded.conditioning, time_ids=time_ids))


def _time_ids(original: Size, size: Size) -> tuple[float, ...]:
    """SDXL's micro-conditioning of an image that was resized and cropped to `size`.

    A larger original counts as one of `size`, because edits ask for `size`. A smaller one keeps its own size, so that
    the network does not learn its blur as part of the subject.
    """
    scale = max(size[0] / original[0], size[1] / original[1])
    top, left = (round((scale * side - target) / 2) for side, target in zip(original, size, strict=True))
    height, width = (min(side, target) for side, target in zip(original, size, strict=True))
    return tuple(map(float, (height, width, top, left, *size)))


def with_captions(model: BaseModel, latents: Latents, captions: Sequence[str]) -> EncodedSet:
    """An encoded set of given latents, with the captions encoded."""
    size = model.image_size(latents)
    conditioning = model.encode_prompt(captions, size=size).to("cpu", torch.float32)
    return EncodedSet(latents.float().cpu(), conditioning, tuple(captions))


def reencode_captions(model: BaseModel, encoded: EncodedSet) -> EncodedSet:
    """The same rows with their captions encoded again, since the token's embeddings change. Gradients flow to them."""
    size = model.image_size(encoded.latents)
    conditioning = model.encode_prompt(encoded.captions, size=size)
    return replace(encoded, conditioning=replace(conditioning, time_ids=encoded.conditioning.time_ids))


def select_batch(sets: Sequence[EncodedSet], step: int, size: int, seed: int) -> EncodedSet:
    """`size` rows for one step, all from one set.

    In each round of steps, every set gets as many steps as it has rows, in an order of (seed, round). Within a set,
    the rows come in epochs: every row once, in an order of (seed, epoch).
    """
    turns = [k for k, encoded in enumerate(sets) for _ in range(len(encoded))]
    round_, turn = divmod(step, len(turns))
    order = [turns[k] for k in torch.randperm(len(turns), generator=stream("bucket", seed, round_)).tolist()]
    chosen = order[turn]
    earlier_steps = round_ * len(sets[chosen]) + order[:turn].count(chosen)
    return _select_rows(sets[chosen], earlier_steps, size, seed)


def _select_rows(encoded: EncodedSet, step: int, size: int, seed: int) -> EncodedSet:
    """`size` rows for the set's own step `step`."""
    count = len(encoded)
    draws = [divmod(index, count) for index in range(step * size, (step + 1) * size)]
    orders = {epoch: torch.randperm(count, generator=stream("order", seed, epoch)) for epoch, _ in draws}
    return encoded.select(torch.stack([orders[epoch][place] for epoch, place in draws]))


def save(encoded: EncodedSet, file: Path) -> None:
    """Write the set to one safetensors file, atomically."""
    tensors = {
        "latents": encoded.latents.contiguous(),
        "prompt_embeds": encoded.conditioning.prompt_embeds.contiguous(),
        "pooled_prompt_embeds": encoded.conditioning.pooled_prompt_embeds.contiguous(),
        "time_ids": encoded.conditioning.time_ids.contiguous(),
    }
    write_tensors(tensors, file, {"captions": json.dumps(encoded.captions)})


def load(file: Path) -> EncodedSet:
    """Read a set that `save` wrote."""
    with safe_open(file, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a mapping)
        captions = tuple(json.loads(stored.metadata()["captions"]))
    latents = tensors.pop("latents")
    return EncodedSet(latents, Conditioning(**tensors), captions)


def write_tensors(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically: it appears under its name only when it is complete on the disk."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        save_file(tensors, unfinished, metadata)
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())  # otherwise a power failure may leave an empty file under the final name
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
