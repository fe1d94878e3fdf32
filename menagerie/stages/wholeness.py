"""Train the wholeness network on `menagerie.edit_examples`, seen through the VAE and the base model.

All examples pass through the VAE with noise on their latents, and half of them also through one step of the base model
from a low noise level. So neither the decoder's blur nor the errors of a good edit are signs of damage. A third of the
whole examples is generated again from a high noise level. They have the errors of the base model itself, and are
damaged in the places that visibly differ from the drawing.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, interpolate
from tqdm import tqdm

from lipe_core import precision, sdxl
from lipe_core.diffusion.ddim import sample
from lipe_core.sdxl import BaseModel
from menagerie.edit_examples import LEAST_PIXELS, Example, examples, visible_errors
from menagerie.group_norm import fast_group_norm
from menagerie.muon import optimizers
from menagerie.pool import encode_images, to_images, to_pixels
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
from menagerie.wholeness import CELLS, WEIGHTS, Wholeness, WholenessNet, save_wholeness

_PAIRS = 12_000
_HELD_OUT = 600
_MAX_NOISE = 0.15  # deviations of the noise on latents
_ONE_STEP = (20, 150)  # timesteps: a longer step repairs damage, and harms whole images
_REDRAWN = (200, 550)
_REDRAWING_STEPS = 4
_DAMAGED_PIXELS = 6  # of a place's 64 pixels, so that the place counts as damaged


@dataclass(frozen=True)
class Pairs:
    """Edits and their true results as bytes, and the damaged places (n, 16, 16) as 0 or 1."""

    images: npt.NDArray[np.uint8]
    truths: npt.NDArray[np.uint8]
    damaged: Tensor

    def is_damaged(self) -> Tensor:
        """0 or 1 for each pair, (n,)."""
        return self.damaged.flatten(1).amax(dim=1)


def train_wholeness(
    model: BaseModel, settings: Settings, path: Path = WEIGHTS, *, held_out: int = _HELD_OUT
) -> Wholeness:
    """Train the network, measure it on pairs that it was not trained on, and save both. The pairs are kept in OUT."""
    torch.manual_seed(settings.seed)
    net = channels_last(WholenessNet(), settings.device).train()
    progress = Progress()
    run = Trainable(net, Average(net, limit=0.998), optimizers(net, settings.lr, weight_decay=0.02), progress)
    pairs = _kept_pairs(model, settings.seed + 61, min(_PAIRS, settings.images), settings.out / "wholeness-pairs.npz")
    rng = np.random.default_rng([settings.seed, 5])

    if settings.resume and settings.state_file("wholeness").exists():
        run.load(settings.state_file("wholeness"))

    def save() -> None:
        run.save(settings.state_file("wholeness"))
        if progress.losses:
            draw_curve(progress, settings.out / "images" / "wholeness-loss.png", "wholeness: cross-entropy")

    with fast_group_norm(net):
        for fraction in budgeted_steps(progress, settings, "wholeness", save):
            set_learning_rate(run.optimizers, learning_rate(fraction, progress.step, settings.lr, settings.warmup))
            rows = rng.integers(len(pairs.images), size=settings.batch)
            images, truths, damaged = augment(
                to_pixels(pairs.images[rows]), to_pixels(pairs.truths[rows]), pairs.damaged[rows], rng
            )
            with precision.autocast(settings.device):
                logits = net(images.to(settings.device), truths.to(settings.device))
            run.step(_loss(net, logits.float(), damaged.to(settings.device)), clip=1.0, samples=len(rows))
    trained = run.average.model.cpu()
    wholeness = Wholeness(trained, measure_accuracy(trained, make_pairs(model, settings.seed + 67, held_out)))
    save_wholeness(wholeness, path)
    return wholeness


def _loss(net: WholenessNet, logits: Tensor, damaged: Tensor) -> Tensor:
    """Cross-entropy of each place, plus that of each image. Damaged places are rare, and weigh three times as much."""
    of_places = binary_cross_entropy_with_logits(logits, damaged, pos_weight=torch.tensor(3.0, device=logits.device))
    of_images = binary_cross_entropy_with_logits(net.damage(logits), damaged.flatten(1).amax(dim=1))
    return 3 * of_places + 0.5 * of_images


def augment(images: Tensor, truths: Tensor, damaged: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror the batch, shift its edits by up to one pixel, blur some of them, change their contrast and add noise."""
    if rng.random() < 0.5:
        images, truths, damaged = images.flip(3), truths.flip(3), damaged.flip(2)
    dy, dx = rng.integers(-1, 2, size=2)
    images = torch.roll(images, (int(dy), int(dx)), dims=(2, 3))
    images = images * float(rng.uniform(0.96, 1.04)) + float(rng.uniform(-0.03, 0.03))
    blurred = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
    keep = torch.from_numpy(rng.random((len(images), 1, 1, 1)).astype(np.float32).clip(0.2, 0.6) / 0.6)
    noise = 0.04 * torch.from_numpy(rng.random((len(images), 1, 1, 1)).astype(np.float32) ** 2)
    images = keep * images + (1 - keep) * blurred
    return images + noise * torch.from_numpy(rng.standard_normal(images.shape, np.float32)), truths, damaged


def _kept_pairs(model: BaseModel, seed: int, count: int, path: Path) -> Pairs:
    """The pairs of the file, or new ones: decoding them takes minutes."""
    if not path.exists():
        pairs = make_pairs(model, seed, count)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, images=pairs.images, truths=pairs.truths, damaged=pairs.damaged.numpy())
    with np.load(path) as kept:
        return Pairs(kept["images"], kept["truths"], torch.from_numpy(kept["damaged"]))


def make_pairs(model: BaseModel, seed: int, count: int, batch: int = 32) -> Pairs:
    """`count` pairs, half of them damaged, all seen through the VAE and most of them through the base model."""
    drawn = list(tqdm(examples(seed, count), total=count, desc="drawing pairs", mininterval=10))
    generator = torch.Generator().manual_seed(seed)
    seen = [
        _through_model(model, drawn[k : k + batch], generator)
        for k in tqdm(range(0, count, batch), desc="decoding pairs", mininterval=10)
    ]
    images = np.concatenate([images for images, _ in seen])
    damaged = torch.from_numpy(np.concatenate([damaged for _, damaged in seen]))
    return Pairs(images, np.stack([one.truth for one in drawn]), _places(damaged))


def _places(damaged: Tensor) -> Tensor:
    """The damaged places (n, 16, 16) of damaged pixels (n, 128, 128). Damage that is spread thinly has one place."""
    side = damaged.shape[-1] // CELLS
    counts = avg_pool2d(damaged.float()[:, None], side)[:, 0] * side**2
    most = counts.amax(dim=(1, 2), keepdim=True)
    is_damaged = damaged.sum(dim=(1, 2), keepdim=True) >= LEAST_PIXELS
    return (is_damaged & ((counts >= _DAMAGED_PIXELS) | (counts == most))).float()


@torch.no_grad()
def _through_model(
    model: BaseModel, chosen: list[Example], generator: torch.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The images as the base model shows them, and their damaged pixels."""
    z = encode_images(model.vae, np.stack([one.image for one in chosen]))
    z = z + _MAX_NOISE * _uniform(len(z), generator)[:, None, None, None] * torch.randn(z.shape, generator=generator)
    is_whole = torch.tensor([not one.damaged.any() for one in chosen])
    redrawn = is_whole & (_uniform(len(z), generator) < 1 / 3)
    stepped = ~redrawn & (_uniform(len(z), generator) < 0.5)
    for rows, levels, steps in ((stepped, _ONE_STEP, 1), (redrawn, _REDRAWN, _REDRAWING_STEPS)):
        for k in rows.nonzero()[:, 0].tolist():
            t = int(torch.randint(*levels, (), generator=generator))
            conditioning = sdxl.encode_prompt(model, [chosen[k].caption], size=(128, 128))
            noised = model.schedule.add_noise(
                z[k : k + 1], torch.randn(z[k : k + 1].shape, generator=generator), torch.tensor([t])
            )
            grid = torch.linspace(0, t, steps + 1).round().long()
            with precision.autocast(model.device):
                z[k] = sample(sdxl.denoiser(model, conditioning), model.schedule, noised, grid)[0]
    with precision.autocast(model.device):
        images = to_images(model.vae.decode(z / model.vae.config.scaling_factor).sample)
    damaged = np.stack([one.damaged for one in chosen])
    for k in redrawn.nonzero()[:, 0].tolist():
        damaged[k] = visible_errors(images[k], chosen[k].image, chosen[k].silhouette)
    return images, damaged


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator)


@torch.no_grad()
def measure_accuracy(net: WholenessNet, pairs: Pairs) -> dict[str, float]:
    """The share of whole and of damaged pairs that the network gets right, and of all pairs."""
    logits = [
        net.eval().damage(net(to_pixels(pairs.images[k : k + 32]), to_pixels(pairs.truths[k : k + 32])))
        for k in range(0, len(pairs.images), 32)
    ]
    found, is_damaged = torch.cat(logits) > 0, pairs.is_damaged().bool()
    right = (found == is_damaged).float()
    parts = {"all": right, "whole": right[~is_damaged], "damaged": right[is_damaged]}
    return {name: round(float(part.mean()), 4) for name, part in parts.items()}
