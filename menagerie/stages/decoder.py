"""Train the VAE's decoder on the UNet's own errors: latents that the UNet predicts in a few steps from noised ones.

An edit ends with latents that no encoder wrote. A decoder that knows only encoded latents shows their errors as blur
and smears; this one learns which drawing was meant. Encoder and UNet stay as they are.
"""

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from torch import Tensor

from lipe_core import precision
from menagerie.group_norm import fast_group_norm
from menagerie.models import encode_tokens
from menagerie.muon import optimizers
from menagerie.pool import drawing_of, encode_images, render_many, to_pixels
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
from menagerie.stages.text import tokenize
from menagerie.stages.unet import NoiseTable, batch_captions, time_ids, unfused_attention
from menagerie.stages.vae import reconstruct

_NOISIEST = 0.35
"""Fraction of the schedule. From noisier latents, the UNet paints another drawing."""

_STEPS = 3
"""At most so many steps of DDIM predict the latents: one step errs by blur, several err as an edit does."""

_CLEAN = 0.25
"""Share of encoded latents without noise, so that reconstructions stay exact."""

_ABSOLUTE = 0.3
"""Weight of the absolute error. It prefers one of two colors to their mixture, which squared error prefers."""


def train_decoder(pipeline: StableDiffusionXLPipeline, settings: Settings) -> AutoencoderKL:
    """Train the decoder of the pipeline's VAE alone. Returns the VAE with averaged weights."""
    vae, device = pipeline.vae, settings.device
    for module in (pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2):
        channels_last(module, device).eval().requires_grad_(False)
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)
    channels_last(vae, device).train()
    chosen = optimizers(vae, settings.lr, adam_share=0.4)
    run = Trainable(vae, Average(vae, limit=0.998), chosen, Progress())
    if settings.resume and settings.state_file("decoder").exists():
        run.load(settings.state_file("decoder"))
    seed, side = settings.seed + 7, vae.config.sample_size
    images = render_many(seed, settings.images, side, settings.workers)
    held_out = render_many(settings.seed + 99, 64, side, 1)
    rng = np.random.default_rng([settings.seed, run.progress.step])
    folder = settings.out / "images"

    def save() -> None:
        run.save(settings.state_file("decoder"))
        draw_curve(run.progress, folder / "decoder-loss.png", "decoder: squared and absolute error")
        exact = reconstruct(run.average.model, held_out, folder / "decoder.png")
        print(f" decoder: encoded latents {exact:.2f} dB held out", flush=True)

    with fast_group_norm(vae), fast_group_norm(pipeline.unet):
        for fraction in budgeted_steps(run.progress, settings, "decoder", save):
            set_learning_rate(chosen, learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
            rows = rng.integers(len(images), size=settings.batch)
            latents = encode_images(vae, images[rows])
            captions = batch_captions([drawing_of(seed, int(row)) for row in rows], rng)
            latents = predicted_latents(pipeline, latents, captions, rng)
            with precision.autocast(device):
                decoded = vae.decode(latents / vae.config.scaling_factor).sample
            error = decoded.float() - to_pixels(images[rows]).to(device)
            loss = error.square().mean() + _ABSOLUTE * error.abs().mean()
            run.step(loss, clip=0.5, samples=len(rows))
    return run.average.model


@torch.no_grad()
def predicted_latents(
    pipeline: StableDiffusionXLPipeline, latents: Tensor, captions: list[str], rng: np.random.Generator
) -> Tensor:
    """The latents (b, c, h, w) that the UNet predicts from noised ones in 1 to 3 steps. A quarter of the rows stay."""
    device, table = latents.device, NoiseTable(pipeline.scheduler.alphas_cumprod.to(latents.device))
    limit, steps = _NOISIEST * len(table.alphas_cumprod), int(rng.integers(1, _STEPS + 1))
    noisiest = torch.from_numpy(rng.uniform(steps, limit, size=len(latents)).astype(np.int64)).to(device)
    noise = torch.from_numpy(rng.standard_normal(latents.shape).astype(np.float32)).to(device)
    ids = tokenize(pipeline.tokenizer, captions).to(device)
    with precision.autocast(device), unfused_attention(device.type):
        embeds, pooled = encode_tokens((pipeline.text_encoder, pipeline.text_encoder_2), ids)
        extra = {"text_embeds": pooled, "time_ids": time_ids(latents).to(device)}
        x_0, eps = latents, noise
        for step in range(steps, 0, -1):
            t = noisiest * step // steps
            a = table.alphas_cumprod[t].view(-1, 1, 1, 1)
            x_t = a.sqrt() * x_0 + (1 - a).sqrt() * eps
            v = pipeline.unet(x_t, t, embeds, added_cond_kwargs=extra).sample.float()
            x_0, eps = a.sqrt() * x_t - (1 - a).sqrt() * v, (1 - a).sqrt() * x_t + a.sqrt() * v
    exact = torch.from_numpy(rng.random(len(latents)) < _CLEAN).to(device).view(-1, 1, 1, 1)
    return torch.where(exact, latents, x_0)
