"""Wrappers of a denoiser: classifier-free guidance and counting of evaluations."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser
from lipe_core.shapes import Latents


def guided(
    denoiser: Callable[[Conditioning], Denoiser],
    cond: Conditioning,
    uncond: Conditioning,
    guidance_scale: float,
    unguided_until: int = -1,
) -> Denoiser:
    """Classifier-free guidance (https://arxiv.org/abs/2207.12598): eps = uncond + scale * (cond - uncond).

    Both halves are one batch of 2n rows, always [uncond, cond]. A scale of 1 means no guidance: the unconditional half
    is not evaluated. Neither is it up to the timestep `unguided_until`, where there is little noise: Applying Guidance
    in a Limited Interval, Kynkäänniemi et al. (https://arxiv.org/abs/2404.07724).
    """
    if guidance_scale == 1:
        return denoiser(cond)
    both, alone = denoiser(Conditioning.concat([uncond, cond])), denoiser(cond)

    def denoise(x_t: Latents, t: int) -> Latents:
        if t <= unguided_until:
            return alone(x_t, t)
        eps_uncond, eps_cond = both(torch.cat([x_t, x_t]), t).chunk(2)
        return eps_uncond + guidance_scale * (eps_cond - eps_uncond)

    return denoise


@dataclass
class EvaluationCounter:
    """Network evaluations so far: one for each row of each forward pass."""

    evaluations: int = 0


def counted(denoiser: Denoiser, counter: EvaluationCounter) -> Denoiser:
    """The denoiser; it adds the rows of each call to `counter`."""

    def denoise(x_t: Latents, t: int) -> Latents:
        counter.evaluations += len(x_t)
        return denoiser(x_t, t)

    return denoise
