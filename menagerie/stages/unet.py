"""Train the UNet: v-prediction (Salimans and Ho 2022) with min-SNR weights (Hang et al. 2023) and `loss_weights`.

One caption in ten is dropped. A new UNet first trains on images of half the side, four times as many in the same time.
The meaning of a word does not depend on the size, which is an input through SDXL's micro-conditioning.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lipe_core import precision
from menagerie.attributes import Drawing
from menagerie.captions import caption
from menagerie.group_norm import fast_group_norm
from menagerie.models import encode_tokens
from menagerie.muon import optimizers
from menagerie.pool import Pool
from menagerie.stages.loop import (
    Average,
    Progress,
    Settings,
    Trainable,
    budgeted_steps,
    draw_curve,
    learning_rate,
    set_learning_rate,
    stream,
)
from menagerie.stages.text import tokenize

_CAPTION_DROPOUT = 0.1
_KEPT = MappingProxyType({1.0: 0.35, 0.8: 0.5, 0.4: 0.15})
"""Shares of captions by the probability with which they name an attribute."""

_GAMMA = 5.0
_MIN_WEIGHT = 0.2
_NOISIEST, _NOISY_SHARE = 0.9, 0.25
_SMALL_UNTIL = 0.33  # of the budget
_SMALL_BATCH = 3  # times the batch of whole images: a step takes about as long
SHEET = (
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
    """The noise levels of the scheduler: x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps."""

    alphas_cumprod: Tensor

    def mix(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x_t and its target v_t = sqrt(a_t) eps - sqrt(1 - a_t) x_0."""
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * x_0 + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * x_0

    def weight(self, t: Tensor, gamma: float = _GAMMA) -> Tensor:
        """The min-SNR weight for v-prediction, min(SNR, gamma) / (SNR + 1), but at least 0.2.

        The noisiest levels decide the composition of the image, and would have a weight of 0.005.
        """
        snr = self.alphas_cumprod[t] / (1 - self.alphas_cumprod[t])
        return (snr.clamp(max=gamma) / (snr + 1)).clamp(min=_MIN_WEIGHT)

    def pure_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The pair for noise without any signal: x_t = eps, v_t = (sqrt(a_t) x_t - x_0) / sqrt(1 - a_t).

        A sampler starts from such noise, but the noisiest level of this schedule still contains some of the image. A
        model that is trained on it alone follows this signal and not the caption: it never generates a dark image
        (https://arxiv.org/abs/2305.08891).
        """
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return noise, (a.sqrt() * noise - x_0) / (1 - a).sqrt()

    def mix_or_pure_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """`mix`, but `pure_noise` for every second row among the noisiest levels."""
        noisy = t >= _NOISIEST * len(self.alphas_cumprod)
        replaced = (noisy & (noisy.cumsum(0) % 2 == 0)).view(-1, 1, 1, 1)
        mixed, pure = self.mix(x_0, noise, t), self.pure_noise(x_0, noise, t)
        x_t, v_t = (torch.where(replaced, second, first) for first, second in zip(mixed, pure, strict=True))
        return x_t, v_t


def spread_timesteps(count: int, steps: int, rng: np.random.Generator) -> Tensor:
    """One timestep from each of `count` equal parts of the schedule; a quarter of them moves to its noisiest tenth.

    Stratified timesteps have less variance than independent ones.
    """
    places = (rng.permutation(count) + rng.random(count)) / count
    noisy = rng.random(count) < _NOISY_SHARE
    places[noisy] = _NOISIEST + (1 - _NOISIEST) * places[noisy]
    return torch.from_numpy((places * steps).astype(np.int64))


@contextmanager
def unfused_attention(device: str) -> Iterator[None]:
    """Use unfused attention on a CPU while the block runs: it is faster for so few tokens."""
    with sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext():
        yield


def batch_captions(
    drawings: Sequence[Drawing], rng: np.random.Generator, shares: Mapping[float, float] = _KEPT
) -> list[str]:
    """A new caption of each drawing that names all attributes, most or few. Some are empty, for guidance."""
    kept = rng.choice(list(shares), size=len(drawings), p=list(shares.values()))
    dropped = rng.random(len(drawings)) < _CAPTION_DROPOUT
    return [
        "" if is_dropped else caption(drawing, rng, keep=float(keep))
        for drawing, keep, is_dropped in zip(drawings, kept, dropped, strict=True)
    ]


def time_ids(latents: Tensor) -> Tensor:
    """SDXL's micro-conditioning of uncropped images: rows of (height, width, 0, 0, height, width) in pixels."""
    height, width = (8.0 * side for side in latents.shape[2:])
    return torch.tensor([[height, width, 0.0, 0.0, height, width]]).repeat(len(latents), 1)


class Batch(NamedTuple):
    """Rows of a pool, with caption tokens (b, n), SDXL's micro-conditioning (b, 6) and timesteps (b,)."""

    latents: Tensor
    weights: Tensor
    ids: Tensor
    time_ids: Tensor
    t: Tensor


def draw_batch(pool: Pool, tokenizer: CLIPTokenizer, size: int, steps: int, rng: np.random.Generator) -> Batch:
    """A batch of `size` random rows, with timesteps below `steps`."""
    latents, weights, drawings = pool.batch(rng, size)
    ids = tokenize(tokenizer, batch_captions(drawings, rng))
    return Batch(latents, weights, ids, time_ids(latents), spread_timesteps(size, steps, rng))


def train_unet(
    pipeline: StableDiffusionXLPipeline, pools: Sequence[Pool], settings: Settings
) -> Average[UNet2DConditionModel]:
    """Train the pipeline's UNet with frozen text encoders. Returns the averaged weights.

    `pools` are one of half-sized images and one of whole images, in this order, or the second alone.
    """
    device = settings.device
    unet = pipeline.unet.to(device, memory_format=torch.channels_last).train()
    encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
    for encoder in encoders:
        encoder.to(device).eval().requires_grad_(False)
    table = NoiseTable(pipeline.scheduler.alphas_cumprod.to(device))
    chosen = optimizers(unet, settings.lr, weight_decay=0.01, adam_share=0.4)
    run = Trainable(unet, Average(unet), chosen, Progress())
    progress, average = run.progress, run.average
    state_file = settings.state_file("unet")
    if settings.resume and state_file.exists():
        run.load(state_file)
    seed = (settings.seed, 2, progress.step)
    generator = torch.Generator(device).manual_seed(settings.seed + progress.step)

    def save() -> None:
        run.save(state_file)
        draw_curve(progress, settings.out / "images" / "unet-loss.png", "UNet: min-SNR weighted loss")
        sample_sheet(pipeline, average.model, settings.out / "images" / f"unet-{progress.samples:07d}.png")

    def batches_of(pool: Pool, size: int) -> Iterator[Batch]:
        make = partial(draw_batch, pool, pipeline.tokenizer, size, len(table.alphas_cumprod))
        return stream(make, (*seed, pool.shape[-1]), settings)

    whole = batches_of(pools[-1], settings.batch)
    small = batches_of(pools[0], _SMALL_BATCH * settings.batch) if len(pools) > 1 else None
    with fast_group_norm(unet):
        for fraction in budgeted_steps(progress, settings, "unet", save):
            set_learning_rate(chosen, learning_rate(fraction, progress.step, settings.lr, settings.warmup))
            batch = next(small if small is not None and fraction < _SMALL_UNTIL else whole)
            loss = batch_loss(unet, encoders, table, batch, generator)
            run.step(loss, clip=1.0, samples=len(batch.t))
    return average


def batch_loss(
    unet: UNet2DConditionModel,
    encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection],
    table: NoiseTable,
    batch: Batch,
    generator: torch.Generator,
) -> Tensor:
    """The weighted v-prediction loss of a batch. `generator` makes the noise."""
    device = generator.device
    latents, weights, ids, sizes, t = (rows.to(device, non_blocking=True) for rows in batch)
    latents, weights = latents.float(), weights.float()
    noise = torch.randn(latents.shape, generator=generator, device=device)
    x_t, target = table.mix_or_pure_noise(latents, noise, t)
    with precision.autocast(device), unfused_attention(device.type):
        with torch.no_grad():
            embeds, pooled = encode_tokens(encoders, ids)
        extra = {"text_embeds": pooled, "time_ids": sizes}
        v = unet(x_t.contiguous(memory_format=torch.channels_last), t, embeds, added_cond_kwargs=extra).sample
    error = (v.float() - target).square().mean(dim=1) * (weights / weights.mean())
    loss: Tensor = (error.mean(dim=(1, 2)) * table.weight(t)).mean()
    return loss


def sample_sheet(pipeline: StableDiffusionXLPipeline, unet: UNet2DConditionModel, path: Path) -> None:
    """Write a sheet of eight images that `unet` generates from fixed captions and seeds."""
    trained = pipeline.unet
    pipeline.unet = unet
    pipeline.set_progress_bar_config(disable=True)
    try:
        with precision.autocast(pipeline.device):
            images = pipeline(
                list(SHEET), num_inference_steps=20, guidance_scale=4.0,
                generator=[torch.Generator().manual_seed(k) for k in range(len(SHEET))],
            ).images  # fmt: skip
    finally:
        pipeline.unet = trained
    write_sheet(images, path)


def write_sheet(images: Sequence[Image.Image], path: Path) -> None:
    """Write the images of SHEET in two rows."""
    side = images[0].width
    sheet = Image.new("RGB", (4 * side, 2 * side))
    for k, image in enumerate(images):
        sheet.paste(image, (k % 4 * side, k // 4 * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
