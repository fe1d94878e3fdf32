"""Pictures of words alone, by plain DDIM: what the base model, or a prior that is on, makes of prompts."""

from collections.abc import Sequence
from functools import partial

from PIL import Image

from lipe_core import sdxl, text
from lipe_core.ddim import OnStep, no_progress, sample, unit_noise
from lipe_core.guidance import guided
from lipe_core.sdxl import BaseModel, Size
from lipe_core.shapes import Latents


def paint(
    model: BaseModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    size: Size,
    steps: int = 30,
    guidance_scale: float = 5.0,
    on_step: OnStep = no_progress,
) -> Latents:
    """Latents of prompt k from seed k, all in one batch, by plain DDIM. An adapter that is on takes part."""
    x_T = unit_noise(seeds, model.latent_shape(size)).to(model.device)
    cond = text.encode_prompt(model, prompts, size=size)
    uncond = text.encode_prompt(model, [""] * len(prompts), size=size)
    denoise = guided(partial(sdxl.denoiser, model), cond, uncond, guidance_scale)
    return sample(denoise, model.schedule, x_T, model.schedule.timesteps(steps), on_step=on_step)


def generate(
    model: BaseModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    size: Size,
    steps: int = 30,
    guidance_scale: float = 5.0,
    on_step: OnStep = no_progress,
) -> list[Image.Image]:
    """The pictures of `paint`."""
    return sdxl.decode(
        model,
        paint(model, prompts, seeds, size=size, steps=steps, guidance_scale=guidance_scale, on_step=on_step),
    )
