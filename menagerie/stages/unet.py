"""The UNet: v-prediction (Salimans and Ho 2022) weighted by min-SNR (Hang et al. 2023) and by what matters in the
drawing (``emphasis``), captions dropped one in ten.

A new one learns on pictures of half the side first, four times as many in the same time: what a word looks like does
not depend on the size, which goes in through SDXL's micro-conditioning.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTokenizer

from lipe_core import precision
from menagerie.captions import caption
from menagerie.models import encode_tokens
from menagerie.muon import optimizers
from menagerie.pool import Pool
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
    stream,
)
from menagerie.stages.text import tokenize

_DROPPED = 0.1
_GAMMA = 5.0
_LEAST_WEIGHT = 0.2
_NOISIEST, _NOISY_SHARE = 0.9, 0.25
_SMALL_UNTIL = 0.33  # of the budget
_SMALL_BATCH = 3  # times the batch of whole pictures: about as long a step
_SHEET = (
    "a photo of an orange cat with white markings sitting, looking left, smiling, in a meadow",
    "a photo of a spotted blue dog wearing a hat, standing, looking at the camera, surprised, at the beach",
    "a photo of a striped green fox, jumping, looking right, with a neutral expression, in the snow",
    "a photo of a purple rabbit wearing a scarf, lying down, looking left, eyes closed, in the desert",
    "a photo of a patched white bear with brown markings, sitting, looking right, smiling, at night",
    "a photo of a red robot with its arms up, looking at the camera, smiling, in a room",
    "a photo of a yellow teapot with blue markings, open, looking left, with a neutral expression, at the beach",
    "a photo of a tan skinned person with brown curly hair in a green shirt wearing glasses, smiling, in a room",
)


@dataclass(frozen=True)
class NoiseTable:
    """The noise levels that the scheduler defines: x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps."""

    alphas_cumprod: Tensor

    def mix(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x_t and its target v_t = sqrt(a_t) eps - sqrt(1 - a_t) x_0."""
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * x_0 + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * x_0

    def weight(self, t: Tensor, gamma: float = _GAMMA) -> Tensor:
        """min(SNR, gamma) / (SNR + 1), min-SNR for a v-prediction, but a fifth at least: the noisiest levels, which
        would weigh a two-hundredth, decide what the whole picture is like."""
        snr = self.alphas_cumprod[t] / (1 - self.alphas_cumprod[t])
        return (snr.clamp(max=gamma) / (snr + 1)).clamp(min=_LEAST_WEIGHT)

    def hide(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The same from noise that has nothing of the picture in it: x_t = eps, v_t = (sqrt(a_t) x_t - x_0) / sqrt(1 -
        a_t), which is what leads from it to x_0.

        A sampler starts from such noise, but the noisiest level of this schedule still lets the picture through, and a
        model believes it more than the caption: what is never dark is no night (https://arxiv.org/abs/2305.08891).
        """
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return noise, (a.sqrt() * noise - x_0) / (1 - a).sqrt()

    def mix_or_hide(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """`mix`, and `hide` for every second row among the noisiest levels."""
        noisy = t >= _NOISIEST * len(self.alphas_cumprod)
        hidden = (noisy & (noisy.cumsum(0) % 2 == 0)).view(-1, 1, 1, 1)
        shown, blind = self.mix(x_0, noise, t), self.hide(x_0, noise, t)
        x_t, v_t = (torch.where(hidden, second, first) for first, second in zip(shown, blind, strict=True))
        return x_t, v_t


def spread_timesteps(count: int, steps: int, rng: np.random.Generator) -> Tensor:
    """One timestep from each of ``count`` equal parts of the schedule, but every fourth from its noisiest tenth; with
    less variance than chance."""
    places = (rng.permutation(count) + rng.random(count)) / count
    noisy = rng.random(count) < _NOISY_SHARE
    places[noisy] = _NOISIEST + (1 - _NOISIEST) * places[noisy]
    return torch.from_numpy((places * steps).astype(np.int64))


@contextmanager
def plain_attention(device: str) -> Iterator[None]:
    """On a CPU the unfused attention is faster for so few tokens."""
    with sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext():
        yield


def batch_captions(drawings: list, rng: np.random.Generator) -> list[str]:
    """A fresh caption of each drawing: everything named, or most, or little, or nothing (for guidance)."""
    kept = rng.choice([1.0, 0.8, 0.4], size=len(drawings), p=[0.35, 0.5, 0.15])
    dropped = rng.random(len(drawings)) < _DROPPED
    return [
        "" if none else caption(drawing, rng, keep=float(keep))
        for drawing, keep, none in zip(drawings, kept, dropped, strict=True)
    ]


def time_ids(latents: Tensor) -> Tensor:
    """SDXL's micro-conditioning of uncropped pictures: (height, width, 0, 0, height, width) of each row, in pixels."""
    height, width = (8.0 * side for side in latents.shape[2:])
    return torch.tensor([[height, width, 0.0, 0.0, height, width]]).repeat(len(latents), 1)


class Batch(NamedTuple):
    """Rows of a pool; of each a caption in tokens (b, n), SDXL's micro-conditioning (b, 6) and a timestep (b,)."""

    latents: Tensor
    weights: Tensor
    ids: Tensor
    time_ids: Tensor
    t: Tensor


def draw_batch(pool: Pool, tokenizer: CLIPTokenizer, size: int, steps: int, rng: np.random.Generator) -> Batch:
    """``size`` rows at random, and timesteps below ``steps``."""
    latents, weights, drawings = pool.batch(rng, size)
    ids = tokenize(tokenizer, batch_captions(drawings, rng))
    return Batch(latents, weights, ids, time_ids(latents), spread_timesteps(size, steps, rng))


def train_unet(pipeline: StableDiffusionXLPipeline, pools: Sequence[Pool], settings: Settings) -> Average:
    """Train the pipeline's UNet on the pools in turn, its text encoders frozen; returns the averaged weights.

    ``pools`` are one of half-sized pictures and one of whole ones, or the latter alone.
    """
    device = settings.device
    unet = pipeline.unet.to(device, memory_format=torch.channels_last).train()
    encoders = tuple(
        e.to(device).eval().requires_grad_(False) for e in (pipeline.text_encoder, pipeline.text_encoder_2)
    )
    table = NoiseTable(pipeline.scheduler.alphas_cumprod.to(device))
    chosen, average, progress = (
        optimizers(unet, settings.lr, weight_decay=0.01, adam_share=0.4),
        Average(unet),
        Progress(),
    )
    run = Trainable(unet, average, chosen, progress)
    state_file = settings.state_file("unet")
    if settings.resume and state_file.exists():
        run.load(state_file)
    seed = (settings.seed, 2, progress.step)
    generator = torch.Generator(device).manual_seed(settings.seed + progress.step)

    def save() -> None:
        run.save(state_file)
        draw_curve(progress, settings.out / "pictures" / "unet-loss.png", "UNet: min-SNR weighted loss")
        sample_sheet(pipeline, average.model, settings.out / "pictures" / f"unet-{progress.samples:07d}.png")

    def batches_of(pool: Pool, size: int) -> Iterator[Batch]:
        make = partial(draw_batch, pool, pipeline.tokenizer, size, len(table.alphas_cumprod))
        return stream(make, (*seed, pool.shape[-1]), settings)

    whole = batches_of(pools[-1], settings.batch)
    small = batches_of(pools[0], _SMALL_BATCH * settings.batch) if len(pools) > 1 else None
    with quick_group_norm(unet):
        for fraction in steps(progress, settings, "unet", save):
            set_learning_rate(chosen, learning_rate(fraction, progress.step, settings.lr, settings.warmup))
            is_small = small is not None and fraction < _SMALL_UNTIL
            batch = next(small if is_small else whole)
            latents, weights, ids, sizes, t = (rows.to(device, non_blocking=True) for rows in batch)
            latents, weights = latents.float(), weights.float()
            noise = torch.randn(latents.shape, generator=generator, device=device)
            x_t, target = table.mix_or_hide(latents, noise, t)
            with precision.autocast(device), plain_attention(device):
                with torch.no_grad():
                    embeds, pooled = encode_tokens(encoders, ids)
                extra = {"text_embeds": pooled, "time_ids": sizes}
                v = unet(x_t.contiguous(memory_format=torch.channels_last), t, embeds, added_cond_kwargs=extra).sample
            error = (v.float() - target).square().mean(dim=1) * (weights / weights.mean())
            loss = (error.mean(dim=(1, 2)) * table.weight(t)).mean()
            run.step(loss, clip=1.0, samples=len(t))
    return average


def sample_sheet(pipeline: StableDiffusionXLPipeline, unet: UNet2DConditionModel, path: Path) -> None:
    """Eight fixed captions and seeds, painted by the averaged weights."""
    trained = pipeline.unet
    pipeline.unet = unet
    pipeline.set_progress_bar_config(disable=True)
    try:
        with precision.autocast(pipeline.device):
            pictures = pipeline(
                list(_SHEET), num_inference_steps=20, guidance_scale=4.0,
                generator=[torch.Generator().manual_seed(k) for k in range(len(_SHEET))],
            ).images  # fmt: skip
    finally:
        pipeline.unet = trained
    side = pictures[0].width
    sheet = Image.new("RGB", (4 * side, 2 * side))
    for k, picture in enumerate(pictures):
        sheet.paste(picture, (k % 4 * side, k // 4 * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
