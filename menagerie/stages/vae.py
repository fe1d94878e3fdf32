"""Train the VAE with squared error, a little absolute error and a little KL, on crops first and whole images last.

The encoder is frozen afterwards, because the UNet is trained on its latents; `menagerie.stages.decoder` trains the
decoder further.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor

from lipe_core import precision
from menagerie.group_norm import fast_group_norm
from menagerie.models import normalize_latents
from menagerie.muon import optimizers
from menagerie.pool import encode_images, render_many, to_images, to_pixels
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

_KL = 2e-5
_ABSOLUTE = 0.05
_WHOLE_FROM = 0.75


def train_vae(vae: AutoencoderKL, settings: Settings) -> AutoencoderKL:
    """Train the whole VAE. Returns the averaged weights, with latents of mean 0 and deviation 1 per channel."""
    channels_last(vae, settings.device).train()
    chosen = optimizers(vae, settings.lr, adam_share=0.4)
    run = Trainable(vae, Average(vae, limit=0.998), chosen, Progress())
    if settings.resume and settings.state_file("vae").exists():
        run.load(settings.state_file("vae"))
    side = vae.config.sample_size
    data = render_many(settings.seed + 7 + run.progress.step, settings.images, side, settings.workers)
    held_out = render_many(settings.seed + 99, 64, side, 1)
    rng = np.random.default_rng([settings.seed, run.progress.step])
    folder = settings.out / "images"

    def save() -> None:
        run.save(settings.state_file("vae"))
        draw_curve(run.progress, folder / "vae-loss.png", "vae: squared error")
        print(f" vae: {reconstruct(run.average.model, held_out, folder / 'vae.png'):.2f} dB held out", flush=True)

    with fast_group_norm(vae):
        for fraction in budgeted_steps(run.progress, settings, "vae", save):
            set_learning_rate(chosen, learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
            x = to_pixels(crops(data, rng, settings.batch, whole=fraction > _WHOLE_FROM)).to(settings.device)
            with precision.autocast(settings.device):
                decoded, kl = _reconstruct_with_noise(vae, x)
            error = decoded.float() - x
            loss = error.square().mean() + _ABSOLUTE * error.abs().mean() + _KL * kl
            run.step(loss, clip=0.5, samples=len(x))
    return _normalized(run.average.model, settings.seed)


def _normalized(vae: AutoencoderKL, seed: int) -> AutoencoderKL:
    fresh = render_many(seed + 101, 512, vae.config.sample_size, 1)
    latents = torch.cat([encode_images(vae, fresh[k : k + 32]) for k in range(0, len(fresh), 32)])
    normalize_latents(vae, latents.mean((0, 2, 3)), latents.std((0, 2, 3)))
    return vae


def _reconstruct_with_noise(vae: AutoencoderKL, x: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels decoded from samples of the posterior, and the KL divergence per latent."""
    posterior = vae.encode(x).latent_dist
    mean, logvar = posterior.mean.float(), posterior.logvar.float().clamp(-12, 4)
    z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
    return vae.decode(z).sample, 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


def crops(data: npt.NDArray[np.uint8], rng: np.random.Generator, batch: int, whole: bool) -> npt.NDArray[np.uint8]:
    """`batch` crops of half the side, or a quarter as many whole images: the number of pixels is the same."""
    side = data.shape[1]
    if whole:
        return data[rng.integers(len(data), size=max(1, batch // 4))]
    rows = rng.integers(len(data), size=batch)
    y, x = rng.integers(side // 2 + 1, size=(2, batch))
    half = side // 2
    return np.stack([data[r, a : a + half, b : b + half] for r, a, b in zip(rows, y, x, strict=True)])


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, images: npt.NDArray[np.uint8], sheet: Path | None = None) -> float:
    """Mean PSNR (dB) of VAE reconstructions. `sheet` is a file for eight of the images and their reconstructions."""
    batches = []
    for k in range(0, len(images), 16):
        with precision.autocast(vae.device):
            latents = encode_images(vae, images[k : k + 16]) / vae.config.scaling_factor
            batches.append(to_images(vae.decode(latents).sample))
    reconstructed = np.concatenate(batches)
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate([np.concatenate(row[:8], 1) for row in (images, reconstructed)], 0)).save(sheet)
    error = ((reconstructed.astype(np.float32) - images) ** 2).mean((1, 2, 3)).clip(min=1e-3)
    return float((10 * np.log10(255**2 / error)).mean())
