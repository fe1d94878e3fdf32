"""Outlines by a promptable segmentation network: SAM 2, https://arxiv.org/abs/2408.00714.

Attention and the image's colors find the subject (`segmentation`). On photographs its outline is often better found by
a network that was trained on masks: it gets the box of what was found, and the point deepest inside. It decides the
outline only where it means the same object.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from transformers import Sam2Config, Sam2Model, Sam2VideoConfig

from lipe_core.masks.segmentation import whole
from lipe_core.pretrained import pretrained
from lipe_core.shapes import PixelMask, Pixels

_AGREEMENT = 0.5
"""The smallest overlap (IoU) of the network's mask with what attention found. Below it, the masks show two objects."""

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
"""The colors of ImageNet, by which all SAM 2 checkpoints were trained."""

_INSIDE = 1
"""The label of a point that lies on the object."""


@dataclass(frozen=True)
class Segmenter:
    """A loaded SAM 2 checkpoint."""

    network: Any
    checkpoint: str

    @torch.no_grad()
    def refine(self, silhouettes: PixelMask, images: Pixels) -> PixelMask:
        """The silhouettes with the network's outlines, one image after another; zeros and ones, without holes."""
        rows = zip(silhouettes[:, None], images[:, None], strict=True)
        return torch.cat([self._refine_one(silhouette, image) for silhouette, image in rows])

    def _refine_one(self, silhouette: PixelMask, image: Pixels) -> PixelMask:
        if not silhouette.any():
            return silhouette
        found = self._masks(silhouette, image)
        overlaps = _overlaps(found, silhouette)
        best = int(overlaps.argmax())
        if overlaps[best] < _AGREEMENT:
            return silhouette
        return whole(found[best : best + 1]).to(silhouette)

    def _masks(self, silhouette: PixelMask, image: Pixels) -> Float[Tensor, "masks 1 H W"]:
        """The network's masks of the object in the silhouette's box, of which it gives several."""
        side = int(self.network.config.prompt_encoder_config.image_size)
        size = silhouette.shape[2:]
        dtype, device = self.network.dtype, self.network.device
        scale = torch.tensor([side / size[1], side / size[0]])
        answer = self.network(
            pixel_values=_network_pixels(image, side).to(device, dtype),
            input_boxes=(_box(silhouette) * scale.repeat(2)).to(device, dtype)[None, None],
            input_points=(_deepest_point(silhouette) * scale).to(device, dtype)[None, None, None],
            input_labels=torch.full((1, 1, 1), _INSIDE, device=device),
        )
        logits = rearrange(answer.pred_masks.float(), "1 1 masks h w -> masks 1 h w")
        return (F.interpolate(logits, size, mode="bilinear", align_corners=False) > 0).to(silhouette)


def load(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Segmenter:
    """Load a folder, or a repository of the model hub, from safetensors files only. Raises InvalidModel."""
    families = (Sam2Config, Sam2VideoConfig)  # the published checkpoints are those of the model for videos
    network = pretrained(Sam2Model, families, checkpoint, revision, dtype, "a SAM 2 model")
    return Segmenter(network.to(device), str(checkpoint))


def _network_pixels(image: Pixels, side: int) -> Tensor:
    """The image as the network reads it: a square, in ImageNet's colors."""
    square = F.interpolate(image.float(), (side, side), mode="bilinear", antialias=True)
    mean, deviation = (rearrange(torch.tensor(color).to(square), "c -> c 1 1") for color in (_MEAN, _DEVIATION))
    return ((square + 1) / 2 - mean) / deviation


def _box(silhouette: PixelMask) -> Tensor:
    """(left, top, right, bottom) of a silhouette, in pixels."""
    rows, columns = silhouette[0, 0].nonzero().cpu().T
    return torch.stack([columns.min(), rows.min(), columns.max(), rows.max()]).float()


def _deepest_point(silhouette: PixelMask) -> Tensor:
    """(x, y) of the pixel of a silhouette that is farthest from its outline."""
    plane = F.pad(silhouette[0, 0].to("cpu", torch.uint8), (1, 1, 1, 1)).numpy()
    depth = torch.from_numpy(cv2.distanceTransform(plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))[1:-1, 1:-1]
    row, column = divmod(int(depth.argmax()), depth.shape[1])
    return torch.tensor([column, row]).float()


def _overlaps(masks: Float[Tensor, "masks 1 H W"], silhouette: Float[Tensor, "1 1 H W"]) -> Float[Tensor, " masks"]:
    """Intersection over union of each mask with the silhouette."""
    both, either = (masks * silhouette).sum(dim=(1, 2, 3)), torch.maximum(masks, silhouette).sum(dim=(1, 2, 3))
    return both / either
