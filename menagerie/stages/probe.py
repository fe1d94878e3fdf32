"""Train the probe on drawings and on their VAE reconstructions.

Training images are clean, reconstructed by the VAE, blurred, noisy or shifted, so that the blur of generated images
does not mislead the probe.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate

from lipe_core import precision
from menagerie.attributes import ATTRIBUTES
from menagerie.group_norm import fast_group_norm
from menagerie.muon import optimizers
from menagerie.pool import drawing_of, encode_images, render_many, to_images, to_pixels
from menagerie.probe import WEIGHTS, Probe, ProbeNet, save_probe
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

_RECONSTRUCTED = 0.12
"""Share of the drawings that the VAE also reconstructs. They are a third of each batch."""


def train_probe(vae: AutoencoderKL, settings: Settings, path: Path = WEIGHTS) -> Probe:
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
    probe = Probe(trained, measure_accuracy(trained, vae, settings.seed + 47))
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


def measure_accuracy(net: ProbeNet, vae: AutoencoderKL, seed: int, count: int = 1000) -> dict[str, float]:
    """Accuracy per attribute on fresh drawings, half of which the VAE has reconstructed."""
    data, labels = _drawings(seed, count, 1)
    data[: count // 2] = _reconstruct(vae, data, count // 2)
    predicted = Probe(net.eval(), {}).judge(data)
    truth = {name: labels[:, k].numpy() for k, name in enumerate(ATTRIBUTES)}
    return {name: round(float((predicted[name] == truth[name])[truth[name] >= 0].mean()), 4) for name in ATTRIBUTES}
