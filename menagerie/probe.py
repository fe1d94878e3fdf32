"""The probe: a small classifier of all attributes, trained on drawings and on their VAE reconstructions.

Training images are clean, reconstructed by the VAE, blurred, noisy or shifted, so that the blur of generated images
does not mislead the probe. Its accuracy on fresh drawings is stored beside its weights and printed with every result.
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
from menagerie.group_norm import fast_group_norm
from menagerie.muon import optimizers
from menagerie.pool import drawing_of, encode_images, render_many, to_images, to_pixels
from menagerie.stages.loop import (
    Average,
    Progress,
    Settings,
    Trainable,
    budgeted_steps,
    channels_last,
    draw_curve,
    learning_rate,
    set_learning_rate,
)

WEIGHTS = Path(__file__).parent / "probe.safetensors"
_WIDTHS = (24, 48, 96, 128, 160)
_FEATURE_LAYERS = 16  # first layers of the body, whose output is 16 x 16
_RECONSTRUCTED = 0.12  # share of the drawings that the VAE also reconstructs; they are a third of each batch


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


def train(vae: AutoencoderKL, settings: Settings, path: Path = WEIGHTS) -> Probe:
    """Train the probe, measure it on drawings that it was not trained on, and save both."""
    torch.manual_seed(settings.seed)
    net = channels_last(ProbeNet(), settings.device).train()
    progress = Progress()
    run = Trainable(net, Average(net, limit=0.998), optimizers(net, settings.lr, weight_decay=0.02), progress)
    data, labels = _drawings(settings.seed + 31, settings.images, settings.workers)
    reconstructed = _reconstruct(vae, data, int(_RECONSTRUCTED * settings.images))
    rng = np.random.default_rng([settings.seed, 3])

    def save() -> None:
        if progress.losses:
            draw_curve(progress, settings.out / "images" / "probe-loss.png", "probe: cross-entropy")

    with fast_group_norm(net):
        for fraction in budgeted_steps(progress, settings, "probe", save):
            set_learning_rate(run.optimizers, learning_rate(fraction, progress.step, settings.lr, settings.warmup))
            rows = rng.integers(settings.images, size=settings.batch)
            rows[::3] = rng.integers(len(reconstructed), size=len(rows[::3]))
            chosen = [reconstructed[r] if r < len(reconstructed) else data[r] for r in rows]
            pixels = augment(to_pixels(np.stack(chosen)), rng).to(settings.device)
            with precision.autocast(settings.device):
                heads = net(pixels.contiguous(memory_format=torch.channels_last))
            run.step(_loss(heads, labels[rows].to(settings.device)), clip=1.0, samples=len(rows))
    trained = run.average.model.cpu()
    probe = Probe(trained, measure(trained, vae, settings.seed + 47))
    save_probe(probe, path)
    return probe


def _loss(heads: list[Tensor], labels: Tensor) -> Tensor:
    """Mean cross-entropy over the attributes that have a label in the batch; -1 is no label."""
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
def _reconstruct(vae: AutoencoderKL, data: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """VAE reconstructions of the first `count` images, with noise of up to 0.2 deviations on their latents."""
    vae.eval().to(memory_format=torch.channels_last)
    out = np.empty_like(data[:count])
    for k in range(0, count, 32):
        z = encode_images(vae, data[k : min(k + 32, count)])
        z = z + 0.2 * torch.rand(len(z), 1, 1, 1, device=z.device) * torch.randn_like(z)
        with precision.autocast(z.device):
            pixels = vae.decode(z / vae.config.scaling_factor).sample
        out[k : k + 32] = to_images(pixels)
    return out


def augment(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift the batch by up to four pixels, change its brightness and contrast, blur some images and add noise."""
    dy, dx = rng.integers(-4, 5, size=2)
    pixels = torch.roll(pixels, (int(dy), int(dx)), dims=(2, 3))
    pixels = pixels * float(rng.uniform(0.92, 1.08)) + float(rng.uniform(-0.05, 0.05))
    blurred = interpolate(avg_pool2d(pixels, 2), scale_factor=2, mode="bilinear")
    keep = torch.from_numpy(rng.random((len(pixels), 1, 1, 1)).astype(np.float32).clip(0, 0.5) * 2)
    pixels = keep * pixels + (1 - keep) * blurred
    noise = 0.08 * torch.from_numpy(rng.random((len(pixels), 1, 1, 1)).astype(np.float32) ** 2)
    return pixels + noise * torch.from_numpy(rng.standard_normal(pixels.shape).astype(np.float32))


def measure(net: ProbeNet, vae: AutoencoderKL, seed: int, count: int = 1000) -> dict[str, float]:
    """Accuracy per attribute on fresh drawings, half of which the VAE has reconstructed."""
    data, labels = _drawings(seed, count, 1)
    data[: count // 2] = _reconstruct(vae, data, count // 2)
    predicted = Probe(net.eval(), {}).judge(data)
    truth = {name: labels[:, k].numpy() for k, name in enumerate(ATTRIBUTES)}
    return {name: round(float((predicted[name] == truth[name])[truth[name] >= 0].mean()), 4) for name in ATTRIBUTES}
