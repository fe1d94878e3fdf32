"""What a judge network sees in pictures and texts: CLIP (https://arxiv.org/abs/2103.00020) and DINOv2
(https://arxiv.org/abs/2304.07193), any checkpoint of transformers' classes, folder or repository of the model hub."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model

from lipe_core.pretrained import pretrained, read
from lipe_core.shapes import Features

ImageFeatures = Callable[[Sequence[Image.Image]], Features]
"""Pictures of any size and mode -> one row each, float32 on the CPU, not normalised."""

TextFeatures = Callable[[Sequence[str]], Features]
"""Texts -> one row each, in the space of the pictures' rows."""

_ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Clip:
    """Pictures and texts in one space."""

    images: ImageFeatures
    texts: TextFeatures


def load_clip(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Clip:
    """CLIP's projected embeddings. A text beyond the context of 77 tokens is cut. Raises InvalidModel."""
    network = pretrained(CLIPModel, {CLIPConfig}, checkpoint, revision, dtype, "a CLIP model").to(device)
    processor = read(AutoImageProcessor, checkpoint, revision, "an image processor")
    tokenizer = read(AutoTokenizer, checkpoint, revision, "a tokenizer")
    longest = int(network.config.text_config.max_position_embeddings)  # type: ignore[union-attr, arg-type]
    return Clip(
        images=partial(_of_images, network, processor, network.get_image_features),
        texts=partial(_of_texts, network, tokenizer, longest),
    )


def load_dinov2(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageFeatures:
    """DINOv2's class token after the last norm, as DreamBooth's DINO score takes it. Raises InvalidModel."""
    network = pretrained(Dinov2Model, {Dinov2Config}, checkpoint, revision, dtype, "a DINOv2 model").to(device)
    processor = read(AutoImageProcessor, checkpoint, revision, "an image processor")
    return partial(_of_images, network, processor, network)


@torch.no_grad()
def _of_images(network: Any, processor: Any, forward: Any, images: Sequence[Image.Image]) -> Features:
    """Resized, cropped and normalised as the checkpoint's own processor says."""
    rows = []
    for some in _parts(images):
        pixels = processor(images=[image.convert("RGB") for image in some], return_tensors="pt").pixel_values
        rows.append(_pooled(forward(pixel_values=pixels.to(network.device, network.dtype))))
    return torch.cat(rows)


@torch.no_grad()
def _of_texts(network: Any, tokenizer: Any, longest: int, texts: Sequence[str]) -> Features:
    rows = []
    for some in _parts(texts):
        tokens = tokenizer(list(some), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        mask = tokens.attention_mask.to(network.device)
        rows.append(
            _pooled(network.get_text_features(input_ids=tokens.input_ids.to(network.device), attention_mask=mask))
        )
    return torch.cat(rows)


def _parts(items: Sequence[Any]) -> list[Sequence[Any]]:
    if not items:
        raise ValueError("there is nothing to look at: give at least one picture or text")
    return [items[start : start + _ROWS_AT_ONCE] for start in range(0, len(items), _ROWS_AT_ONCE)]


def _pooled(output: Any) -> Tensor:
    rows: Tensor = output.pooler_output
    return rows.float().cpu()
