"""The probe: a small classifier of all attributes of a drawing. `menagerie.stages.probe` trains it.

Its accuracy on held-out drawings is stored beside its weights and printed with every result.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from menagerie.attributes import ATTRIBUTES
from menagerie.pool import to_pixels

WEIGHTS = Path(__file__).parent / "probe.safetensors"
_WIDTHS = (24, 48, 96, 128, 160)
_FEATURE_LAYERS = 16  # first layers of the body, whose output is 16 x 16


class ProbeNet(nn.Module):
    """Halve the image five times, then apply one linear map per attribute to the 4 x 4 features and their positions."""

    def __init__(self, widths: tuple[int, ...] = _WIDTHS):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 5, stride=2, padding=2)]
        for width, wider in pairwise(widths):
            layers += [nn.GroupNorm(1, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)]
            layers += [nn.GroupNorm(1, width), nn.SiLU(), nn.Conv2d(width, wider, 3, stride=2, padding=1)]
        layers += [nn.GroupNorm(1, widths[-1]), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.neck = nn.Sequential(nn.Linear(16 * widths[-1], 192), nn.SiLU(), nn.Dropout(0.1))
        self.heads = nn.ModuleList(nn.Linear(192, len(values)) for values in ATTRIBUTES.values())

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Logits (b, values) per attribute, from pixels (b, 3, 128, 128) in [-1, 1]."""
        features = self.neck(self.body(pixels).flatten(1))
        return [head(features) for head in self.heads]

    @property
    def feature_channels(self) -> int:
        last = self.body[_FEATURE_LAYERS - 1]
        if not isinstance(last, nn.Conv2d):
            raise TypeError(f"layer {_FEATURE_LAYERS - 1} of the body is no convolution")
        return last.out_channels

    def spatial_features(self, pixels: Tensor) -> Tensor:
        """Features (b, 256, channels) of the 16 x 16 positions of pixels (b, 3, 128, 128), row by row."""
        features: Tensor = self.body[:_FEATURE_LAYERS](pixels.contiguous(memory_format=torch.channels_last))
        return features.flatten(2).mT


@dataclass(frozen=True)
class Probe:
    """A trained probe. `held_out` is its accuracy per attribute on fresh drawings, half of them reconstructed."""

    net: ProbeNet
    held_out: dict[str, float]

    def judge(self, images: Sequence[Image.Image] | npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.int64]]:
        """For each attribute, the index in `ATTRIBUTES` of the most likely value, (n,). Images may have any size."""
        resized = [np.asarray(_resize(image), np.uint8) for image in images]
        batches = [_predict(self.net, to_pixels(np.stack(resized[k : k + 32]))) for k in range(0, len(resized), 32)]
        return {name: torch.cat([batch[k] for batch in batches]).numpy() for k, name in enumerate(ATTRIBUTES)}


def load_probe(path: Path = WEIGHTS) -> Probe:
    """The committed probe, in float32."""
    net = ProbeNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return Probe(net.eval(), json.loads(path.with_suffix(".json").read_text())["held_out"])


def save_probe(probe: Probe, path: Path = WEIGHTS) -> None:
    """Save the weights in half precision, and the accuracy in a JSON file beside them."""
    save_file({name: tensor.half().contiguous() for name, tensor in probe.net.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps({"held_out": probe.held_out}, indent=2) + "\n")


def _resize(image: Image.Image | npt.NDArray[np.uint8]) -> Image.Image:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return image.convert("RGB").resize((128, 128), Image.Resampling.BICUBIC)


@torch.no_grad()
def _predict(net: ProbeNet, pixels: Tensor) -> list[Tensor]:
    return [logits.argmax(dim=1).cpu() for logits in net(pixels.to(next(net.parameters()).device))]
