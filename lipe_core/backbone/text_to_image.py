"""Text-to-image sampling by plain DDIM, with the base model or an applied prior."""

from collections.abc import Sequence

from PIL import Image

from lipe_core.backbone.base_model import BaseModel
from lipe_core.backbone.images import decode
from lipe_core.diffusion.ddim import OnStep, no_progress, sample, unit_noise
from lipe_core.diffusion.guidance import guided
from lipe_core.shapes import Latents, Size


def generate_latents(
    model: BaseModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    size: Size,
    steps: int = 30,
    guidance_scale: float = 5.0,
    on_step: OnStep = no_progress,
) -> Latents:
    """Latents of prompt k from seed k, all in one batch, without gradients. An applied prior has its effect."""
    x_T = unit_noise(seeds, model.latent_shape(size)).to(model.device)
    cond = model.encode_prompt(prompts, size=size)
    uncond = model.encode_prompt([""] * len(prompts), size=size)
    denoise = guided(model.denoiser, cond, uncond, guidance_scale)
    return sample(denoise, model.schedule, x_T, model.timesteps(steps, size), on_step=on_step)


def generate_images(
    model: BaseModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    size: Size,
    steps: int = 30,
    guidance_scale: float = 5.0,
    on_step: OnStep = no_progress,
) -> list[Image.Image]:
    """The decoded images of `generate_latents`."""
    return decode(
        model,
        generate_latents(model, prompts, seeds, size=size, steps=steps, guidance_scale=guidance_scale, on_step=on_step),
    )
