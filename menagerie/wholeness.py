"""The wholeness network: it compares an edit with its true result and finds the damaged places of the edit.

Damage is a part of the source that remained, a missing part, a smeared part, or two images in one place. Slight blur
and small differences of position, proportion and tint are no damage. `menagerie.stages.wholeness` trains the network.
Its accuracy on held-out pairs is stored beside its weights.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, max_pool2d

from menagerie.placed import best_placement
from menagerie.pool import to_pixels

WEIGHTS = Path(__file__).parent / "wholeness.safetensors"
CELLS = 16
"""Rows and columns of the places at which the network finds damage."""
_MOST_DAMAGED = 5
"""Number of places that decide about an image. A damaged eye or mouth has about four."""
_IGNORED = -20.0
"""The logit of places that are not compared."""


class WholenessNet(nn.Module):
    """Halve both images three times together, then find damage at each of the 16 x 16 places."""

    def __init__(self, widths: tuple[int, int, int] = (24, 48, 80)):
        super().__init__()
        first, second, third = widths
        self.body = nn.Sequential(
            nn.Conv2d(9, first, 5, stride=2, padding=2),
            *_norm(first),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            *_norm(second),
            nn.Conv2d(second, second, 3, padding=1),
            *_norm(second),
            nn.Conv2d(second, third, 3, stride=2, padding=1),
            *_norm(third),
            nn.Conv2d(third, third, 3, padding=1),
            *_norm(third),
            nn.Conv2d(third, third, 3, padding=2, dilation=2),
            *_norm(third),
            nn.Conv2d(third, 1, 1),
        )
        self.image_scale = nn.Parameter(torch.ones(()))
        self.image_bias = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor, truths: Tensor) -> Tensor:
        """Logits (b, 16, 16) of damage at each place, from pixels (b, 3, 128, 128) in [-1, 1]."""
        pairs = torch.cat([images, truths, 2 * (images - truths)], dim=1)
        logits: Tensor = self.body(pairs.contiguous(memory_format=torch.channels_last))
        return logits[:, 0]

    def damage(self, logits: Tensor) -> Tensor:
        """Logits (b,) that an image is damaged, from the mean of its most damaged places."""
        most = logits.float().flatten(1).topk(_MOST_DAMAGED, dim=1).values
        return self.image_scale * most.mean(dim=1) + self.image_bias


def _norm(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.GroupNorm(1, width), nn.SiLU()


@dataclass(frozen=True)
class Wholeness:
    """A trained network. `held_out` is its accuracy on pairs that it was not trained on."""

    net: WholenessNet
    held_out: dict[str, float]

    @torch.no_grad()
    def damage(self, image: Image.Image, truth: npt.NDArray[np.uint8], where: npt.NDArray[np.bool_]) -> float:
        """The probability that an image of any size is damaged near the pixels of `where`, at its best placement.

        The true result and `where` have 128 x 128 pixels.
        """
        moved = best_placement(np.array(_resized(image)), truth, where)
        logits = self.net(to_pixels(moved[None].copy()), to_pixels(truth[None]))
        near = adaptive_max_pool2d(max_pool2d(torch.from_numpy(where)[None].float(), 5, stride=1, padding=2), CELLS)
        return float(self.net.damage(torch.where(near > 0, logits, _IGNORED)).sigmoid())


def load_wholeness(path: Path = WEIGHTS) -> Wholeness:
    """The committed network, in float32."""
    net = WholenessNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return Wholeness(net.eval(), json.loads(path.with_suffix(".json").read_text())["held_out"])


def save_wholeness(wholeness: Wholeness, path: Path = WEIGHTS) -> None:
    """Save the weights in half precision, and the accuracy in a JSON file beside them."""
    save_file({name: tensor.half().contiguous() for name, tensor in wholeness.net.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps({"held_out": wholeness.held_out}, indent=2) + "\n")


def _resized(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((128, 128), Image.Resampling.BICUBIC)
