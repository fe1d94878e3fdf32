"""How well a miniature denoises true drawings: ``python -m menagerie.denoised --images 64``.

Drawings get noise at some fractions of the schedule and are denoised with their full captions, without an edit and
without a prior. No edit can be expected to be better than that. An image is whole if the judge sees no damage in it.
"""

import argparse
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from lipe_core import backbone
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import sample, unit_noise
from lipe_core.metrics.background import psnr
from menagerie.attributes import Drawing
from menagerie.captions import caption
from menagerie.draw import mask, render
from menagerie.judge import MAX_DAMAGE
from menagerie.miniatures import add_options, load_chosen
from menagerie.pool import drawing_of
from menagerie.wholeness import Wholeness, load_wholeness

LEVELS = (0.0, 0.25, 0.5)
"""Fractions of the schedule. The first shows the VAE alone."""
STEPS = 24
"""Steps of the whole schedule."""


class Figures(NamedTuple):
    """The share of whole images, and the mean PSNR in dB to the drawings."""

    whole: float
    psnr: float


@torch.no_grad()
def denoised(model: BaseModel, drawing: Drawing, level: float, seed: int) -> Image.Image:
    """The drawing after noise at `level` and DDIM back, with its full caption."""
    x_t, size = backbone.encode_image(model, [Image.fromarray(render(drawing))]), (model.native_size, model.native_size)
    t = round(level * model.schedule.levels)
    if t > 0:
        eps = unit_noise([seed], model.latent_shape(size)).to(x_t)
        prompt = caption(drawing, np.random.default_rng(seed), keep=1.0)
        noisy = model.schedule.add_noise(x_t, eps, torch.tensor([t], device=x_t.device))
        grid = torch.linspace(0, t, round(level * STEPS) + 1).round().long()
        x_t = sample(model.denoiser(model.encode_prompt([prompt], size=size)), model.schedule, noisy, grid)
    return backbone.decode(model, x_t)[0]


def judge(wholeness: Wholeness, drawings: list[Drawing], images: list[Image.Image]) -> Figures:
    """The figures of images against the drawings that they should show."""
    pairs = [(image, drawing, render(drawing, image.width)) for image, drawing in zip(images, drawings, strict=True)]
    damage = [wholeness.damage(image, truth, mask(drawing)) for image, drawing, truth in pairs]
    return Figures(
        float(np.mean([each <= MAX_DAMAGE for each in damage])),
        float(np.mean([psnr(np.asarray(image), truth) for image, _, truth in pairs])),
    )


def main(argv: list[str] | None = None) -> dict[float, Figures]:
    """Print and return the figures at each noise level."""
    options = parse(argv)
    model, wholeness = load_chosen(options), load_wholeness()
    drawings = [drawing_of(options.seed, k) for k in range(options.images)]
    found = {}
    for level in LEVELS:
        images = [denoised(model, drawing, level, k) for k, drawing in enumerate(tqdm(drawings, desc=f"noise {level}"))]
        found[level] = judge(wholeness, drawings, images)
    print(f"{'noise':<8}{'whole':>8}{'dB':>8}")
    for level, figures in found.items():
        print(f"{level:<8}{figures.whole:>8.3f}{figures.psnr:>8.2f}")
    return found


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.denoised", description=__doc__)
    add_options(parser)
    parser.add_argument("--images", type=int, default=64, help="number of drawings")
    parser.add_argument("--seed", type=int, default=4242, help="seed of the drawings")
    options = parser.parse_args(argv)
    if options.images < 1:
        parser.error("--images must be at least 1")
    return options


if __name__ == "__main__":
    main()
