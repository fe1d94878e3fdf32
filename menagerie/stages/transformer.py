"""Train klein's transformer: rectified flow (Esser et al. 2024) on the tokens of drawings, with `loss_weights`.

One caption in ten is dropped. The noise levels lean towards noise, as the grid of klein's pipeline does. In the later
part of the training, every fourth batch has another image of each subject beside the target, and captions that name
little: the network learns to read the rest from that image, as klein reads references.
"""

from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from diffusers import Flux2Transformer2DModel
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from transformers import Qwen2TokenizerFast

from lipe_core import backbone, flux2, precision
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.flow import LEVELS
from lipe_core.flux2 import BaseModel
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
from menagerie.stages.unet import SHEET, batch_captions, write_sheet

_LEAN = 3.0
_PAIRS_FROM, _PAIRS_EVERY = 0.6, 4  # share of the budget, and batches
_TERSE = MappingProxyType({0.8: 0.3, 0.4: 0.7})
_ENDS = ("embed", "modulation", "norm_out", "proj_out")


class Batch(NamedTuple):
    """Rows of a pool, with token ids and attention mask of captions (b, n) and timesteps (b,).

    `companions` are the latents of an image beside each row, or nothing.
    """

    latents: Tensor
    weights: Tensor
    ids: Tensor
    mask: Tensor
    t: Tensor
    companions: Tensor | None = None


def draw_batch(pool: Pool, tokenizer: Qwen2TokenizerFast, size: int, rng: np.random.Generator) -> Batch:
    """A batch of `size` random rows."""
    latents, weights, drawings = pool.batch(rng, size)
    tokens = flux2.tokenize(tokenizer, batch_captions(drawings, rng))
    return Batch(latents, weights, tokens.input_ids, tokens.attention_mask, spread_levels(size, rng))


def draw_pairs(
    pool: Pool, companions: Pool, tokenizer: Qwen2TokenizerFast, size: int, rng: np.random.Generator
) -> Batch:
    """A batch of `size` random rows that have a companion."""
    indices = rng.integers(companions.count(), size=size)
    latents, weights, drawings = pool.rows(indices)
    tokens = flux2.tokenize(tokenizer, batch_captions(drawings, rng, _TERSE))
    levels = spread_levels(size, rng)
    return Batch(latents, weights, tokens.input_ids, tokens.attention_mask, levels, companions.rows(indices)[0])


def spread_levels(count: int, rng: np.random.Generator) -> Tensor:
    """One timestep from each of `count` equal parts of the schedule, which then lean towards noise.

    s = k u / (1 + (k - 1) u) with k = 3. Stratified timesteps have less variance than independent ones.
    """
    u = (rng.permutation(count) + rng.random(count)) / count
    return torch.from_numpy((_LEAN * u / (1 + (_LEAN - 1) * u) * (LEVELS - 1)).round().astype(np.int64))


def train_transformer(
    model: BaseModel, pool: Pool, companions: Pool, settings: Settings
) -> Average[Flux2Transformer2DModel]:
    """Train the model's transformer with a frozen text encoder. Returns the averaged weights."""
    transformer: Flux2Transformer2DModel = model.transformer.train().requires_grad_(True)
    chosen = optimizers(transformer, settings.lr, weight_decay=0.01, adam_share=0.4, ends=_ENDS)
    run = Trainable(transformer, Average(transformer), chosen, Progress())
    progress, average = run.progress, run.average
    state_file = settings.state_file("transformer")
    if settings.resume and state_file.exists():
        run.load(state_file)
    if settings.compiled:
        transformer.compile()
        model.text_encoder.model.compile()
    single = partial(draw_batch, pool, model.tokenizer, settings.batch)
    paired = partial(draw_pairs, pool, companions, model.tokenizer, settings.batch)
    batches = stream(single, (settings.seed, 12, progress.step), settings)
    pairs = stream(paired, (settings.seed, 13, progress.step), settings)
    generator = torch.Generator(model.device).manual_seed(settings.seed + progress.step)
    images = settings.out / "images"

    def save() -> None:
        run.save(state_file)
        draw_curve(progress, images / "transformer-loss.png", "transformer: squared error of the velocity")
        sample_sheet(model, average.model, images / f"transformer-{progress.samples:07d}.png")

    for fraction in budgeted_steps(progress, settings, "transformer", save):
        set_learning_rate(chosen, learning_rate(fraction, progress.step, settings.lr, settings.warmup))
        has_pairs = fraction > _PAIRS_FROM and progress.step % _PAIRS_EVERY == 0
        batch = next(pairs if has_pairs else batches)
        run.step(batch_loss(model, batch, generator), clip=1.0, samples=len(batch.t))
    return average


def batch_loss(model: BaseModel, batch: Batch, generator: torch.Generator) -> Tensor:
    """The weighted squared error of the velocity. `generator` makes the noise."""
    device = generator.device
    latents, weights, ids, mask, t = (rows.to(device, non_blocking=True) for rows in batch[:5])
    beside = None
    if batch.companions is not None:
        beside = flux2.beside([flux2.to_tokens(model, batch.companions.to(device).float())])
    x_0 = flux2.to_tokens(model, latents.float())
    weights = adaptive_avg_pool2d(weights.float(), (x_0.shape[2], x_0.shape[3]))
    eps = torch.randn(x_0.shape, generator=generator, device=device)
    s = model.schedule.level(t).view(-1, 1, 1, 1)
    with precision.autocast(device):
        with torch.no_grad():
            embeds = flux2.embed(model.text_encoder, ids, mask)
        empty = embeds.new_empty(len(embeds), 0)
        velocity = flux2.predict(model, torch.lerp(x_0, eps, s), t, Conditioning(embeds, empty, empty), beside)
    target = model.schedule.target(x_0, eps, t, model.prediction_type)
    error = (velocity - target).square().mean(dim=1) * (weights / weights.mean())
    return error.mean()


def sample_sheet(model: BaseModel, transformer: Flux2Transformer2DModel, path: Path) -> None:
    """Write a sheet of eight images that `transformer` generates from fixed captions and seeds."""
    averaged = BaseModel(**{**vars(model), "transformer": transformer})
    side = model.native_size
    with precision.autocast(model.device):
        images = backbone.generate_images(
            averaged, SHEET, range(len(SHEET)), size=(side, side), steps=20, guidance_scale=4.0
        )
    write_sheet(images, path)
