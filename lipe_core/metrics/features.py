"""Features of images and texts by CLIP (https://arxiv.org/abs/2103.00020) and DINOv2
(https://arxiv.org/abs/2304.07193), from any checkpoint of transformers' classes, folder or repository of the hub."""

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
"""Images of any size and mode -> one row each, float32 on the CPU, not normalized."""

TextFeatures = Callable[[Sequence[str]], Features]
"""Texts -> one row each, in the same space as the images' rows."""

_ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Clip:
    """The extractors of a CLIP model: images and texts in one space.

    `scale` is the factor that its training learned for cosines: the product is a logit.
    """

    images: ImageFeatures
    texts: TextFeatures
    scale: float


def load_clip(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Clip:
    """Load CLIP; features are its projected embeddings. A text longer than the context is cut. Raises InvalidModel."""
    network = pretrained(CLIPModel, {CLIPConfig}, checkpoint, revision, dtype, "a CLIP model").to(device)
    processor = read(AutoImageProcessor, checkpoint, revision, "an image processor")
    tokenizer = read(AutoTokenizer, checkpoint, revision, "a tokenizer")
    longest = int(network.config.text_config.max_position_embeddings)  # type: ignore[union-attr, arg-type]
    return Clip(
        images=partial(_image_features, network, processor, network.get_image_features),
        texts=partial(_text_features, network, tokenizer, longest),
        scale=float(network.logit_scale.exp()),  # type: ignore[operator]
    )


def load_dinov2(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageFeatures:
    """Load DINOv2; features are its class token after the last norm, as in DreamBooth's DINO score.

    Raises InvalidModel.
    """
    network = pretrained(Dinov2Model, {Dinov2Config}, checkpoint, revision, dtype, "a DINOv2 model").to(device)
    processor = read(AutoImageProcessor, checkpoint, revision, "an image processor")
    return partial(_image_features, network, processor, network)


@torch.no_grad()
def _image_features(network: Any, processor: Any, forward: Any, images: Sequence[Image.Image]) -> Features:
    """Images are resized, cropped and normalized by the checkpoint's own processor."""
    rows = []
    for batch in _batches(images):
        pixels = processor(images=[image.convert("RGB") for image in batch], return_tensors="pt").pixel_values
        rows.append(_pooled(forward(pixel_values=pixels.to(network.device, network.dtype))))
    return torch.cat(rows)


@torch.no_grad()
def _text_features(network: Any, tokenizer: Any, longest: int, texts: Sequence[str]) -> Features:
    rows = []
    for batch in _batches(texts):
        tokens = tokenizer(list(batch), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        mask = tokens.attention_mask.to(network.device)
        rows.append(
            _pooled(network.get_text_features(input_ids=tokens.input_ids.to(network.device), attention_mask=mask))
        )
    return torch.cat(rows)


def _batches(items: Sequence[Any]) -> list[Sequence[Any]]:
    if not items:
        raise ValueError("there are no features to extract: give at least one image or text")
    return [items[start : start + _ROWS_AT_ONCE] for start in range(0, len(items), _ROWS_AT_ONCE)]


def _pooled(output: Any) -> Tensor:
    rows: Tensor = output.pooler_output
    return rows.float().cpu()
