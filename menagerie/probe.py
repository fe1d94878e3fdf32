"""The judge: a small classifier of every attribute, trained on drawings and on what the VAE makes of them.

It sees drawings clean, through the VAE, blurred, noisy and shifted, so that a painted picture's softness does not
mislead it. Its accuracy on fresh drawings is kept beside its weights and printed with every result it gives.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate

from lipe_core import precision
from menagerie.attributes import ATTRIBUTES
from menagerie.muon import optimizers
from menagerie.pool import drawing_of, encode_pictures, render_many, to_pixels
from menagerie.quick_norm import quick_group_norm
from menagerie.stages.loop import (
    Average,
    Progress,
    Settings,
    Trainable,
    draw_curve,
    learning_rate,
    set_learning_rate,
    steps,
)

WEIGHTS = Path(__file__).parent / "probe.safetensors"
_WIDTHS = (24, 48, 96, 128, 160)
_SEEN = 16  # layers of the body that see 16 x 16 places
_ROUND_TRIPS = 0.12  # share of the drawings that also went through the VAE; they make a third of each batch


class ProbeNet(nn.Module):
    """Halve the picture five times, then one linear map per attribute over all 4 x 4 places (left is not right)."""

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
        """Logits (b, values) per attribute, of pixels (b, 3, 128, 128) in [-1, 1]."""
        features = self.neck(self.body(pixels).flatten(1))
        return [head(features) for head in self.heads]

    @property
    def seen_channels(self) -> int:
        return int(self.body[_SEEN - 1].out_channels)

    def seen(self, pixels: Tensor) -> Tensor:
        """What the convolutions see in each place: (b, 256, channels), the picture's 16 x 16 places row by row."""
        return self.body[:_SEEN](pixels.contiguous(memory_format=torch.channels_last)).flatten(2).mT


@dataclass(frozen=True)
class Probe:
    """A trained judge. ``held_out`` is its measured accuracy per attribute on fresh drawings, half through the VAE."""

    net: ProbeNet
    held_out: dict[str, float]

    def judge(self, images: Sequence[Image.Image] | npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.int64]]:
        """The most likely value's index in ``ATTRIBUTES``, per attribute (n,); pictures of any size."""
        pictures = [np.asarray(_fitted(image), np.uint8) for image in images]
        answers = [_predict(self.net, to_pixels(np.stack(pictures[k : k + 32]))) for k in range(0, len(pictures), 32)]
        return {name: torch.cat([a[k] for a in answers]).numpy() for k, name in enumerate(ATTRIBUTES)}


def load_probe(path: Path = WEIGHTS) -> Probe:
    """The committed judge."""
    net = ProbeNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return Probe(net.eval(), json.loads(path.with_suffix(".json").read_text())["held_out"])


def save_probe(probe: Probe, path: Path = WEIGHTS) -> None:
    """Half-precision weights, and the accuracy beside them."""
    save_file({name: tensor.half().contiguous() for name, tensor in probe.net.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps({"held_out": probe.held_out}, indent=2) + "\n")


def _fitted(image: Image.Image | npt.NDArray[np.uint8]) -> Image.Image:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return picture.convert("RGB").resize((128, 128), Image.Resampling.BICUBIC)


@torch.no_grad()
def _predict(net: ProbeNet, pixels: Tensor) -> list[Tensor]:
    return [logits.argmax(dim=1).cpu() for logits in net(pixels.to(next(net.parameters()).device))]


def train(vae: AutoencoderKL, settings: Settings, path: Path = WEIGHTS) -> Probe:
    """Train the judge, measure it on drawings it never saw, and save both."""
    torch.manual_seed(settings.seed)
    net = ProbeNet().to(settings.device, memory_format=torch.channels_last).train()
    progress = Progress()
    run = Trainable(net, Average(net, limit=0.998), optimizers(net, settings.lr, weight_decay=0.02), progress)
    data, labels = _drawings(settings.seed + 31, settings.pictures, settings.workers)
    softened = _through(vae, data, int(_ROUND_TRIPS * settings.pictures))
    rng = np.random.default_rng([settings.seed, 3])

    def save() -> None:
        if progress.losses:
            draw_curve(progress, settings.out / "pictures" / "probe-loss.png", "probe: cross-entropy")

    with quick_group_norm(net):
        for fraction in steps(progress, settings, "probe", save):
            set_learning_rate(run.optimizers, learning_rate(fraction, progress.step, settings.lr, settings.warmup))
            rows = rng.integers(settings.pictures, size=settings.batch)
            rows[::3] = rng.integers(len(softened), size=len(rows[::3]))
            chosen = [softened[r] if r < len(softened) else data[r] for r in rows]
            pixels = augment(to_pixels(np.stack(chosen)), rng).to(settings.device)
            with precision.autocast(settings.device):
                heads = net(pixels.contiguous(memory_format=torch.channels_last))
            run.step(_loss(heads, labels[rows].to(settings.device)), clip=1.0, samples=len(rows))
    probe = Probe(run.average.model.cpu(), measure(run.average.model.cpu(), vae, settings.seed + 47))
    save_probe(probe, path)
    return probe


def _loss(heads: list[Tensor], labels: Tensor) -> Tensor:
    """Mean cross-entropy over attributes; -1 is no label, and an attribute that nobody in the batch has is left out."""
    terms = [
        cross_entropy(logits.float(), labels[:, k], ignore_index=-1, label_smoothing=0.02)
        for k, logits in enumerate(heads)
        if (labels[:, k] >= 0).any()
    ]
    return torch.stack(terms).mean()


def _drawings(seed: int, count: int, workers: int) -> tuple[npt.NDArray[np.uint8], Tensor]:
    labels = torch.tensor([list(drawing_of(seed, k).labels().values()) for k in range(count)])
    return render_many(seed, count, 128, workers), labels


@torch.no_grad()
def _through(vae: AutoencoderKL, data: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """The first ``count`` pictures through the VAE, with up to a fifth of a deviation of noise on their latents."""
    vae.eval().to(memory_format=torch.channels_last)
    out = np.empty_like(data[:count])
    for k in range(0, count, 32):
        z = encode_pictures(vae, data[k : min(k + 32, count)])
        z = z + 0.2 * torch.rand(len(z), 1, 1, 1, device=z.device) * torch.randn_like(z)
        with precision.autocast(z.device):
            pixels = vae.decode(z / vae.config.scaling_factor).sample
        out[k : k + 32] = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return out


def augment(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift by up to four pixels, change brightness and contrast a little, and blur or add noise to some."""
    dy, dx = rng.integers(-4, 5, size=2)
    pixels = torch.roll(pixels, (int(dy), int(dx)), dims=(2, 3))
    pixels = pixels * float(rng.uniform(0.92, 1.08)) + float(rng.uniform(-0.05, 0.05))
    blurred = interpolate(avg_pool2d(pixels, 2), scale_factor=2, mode="bilinear")
    keep = torch.from_numpy(rng.random((len(pixels), 1, 1, 1)).astype(np.float32).clip(0, 0.5) * 2)
    pixels = keep * pixels + (1 - keep) * blurred
    noise = 0.08 * torch.from_numpy(rng.random((len(pixels), 1, 1, 1)).astype(np.float32) ** 2)
    return pixels + noise * torch.from_numpy(rng.standard_normal(pixels.shape).astype(np.float32))


def measure(net: ProbeNet, vae: AutoencoderKL, seed: int, count: int = 1000) -> dict[str, float]:
    """Accuracy per attribute on fresh drawings, of which half went through the VAE."""
    data, labels = _drawings(seed, count, 1)
    data[: count // 2] = _through(vae, data, count // 2)
    answers = Probe(net.eval(), {}).judge(data)
    truth = {name: labels[:, k].numpy() for k, name in enumerate(ATTRIBUTES)}
    return {name: round(float((answers[name] == truth[name])[truth[name] >= 0].mean()), 4) for name in ATTRIBUTES}
