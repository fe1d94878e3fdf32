"""Whether a worker could tell edits that lost the subject's identity from those that kept it, for docs/warnings.md.

    python -m benchmarks.identity_rates --subjects 24

Three measures need no further network: colors, latents of the VAE, and hidden states of the base model, each inside the
subject's silhouette. Each is the similarity of an image with the references, minus the lowest similarity that one
reference has with the others. The command compares, by the area under the ROC curve:

drawings: the true result of each edit, against the same drawing with another identity of the same class.
edits: NIMA's edits without a prior, so that identity gets lost: those in which the judge finds every attribute of the
subject, against the others. They need no training.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from benchmarks.warning_rates import area_under_curve
from lipe_core import sdxl
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.registry import METHODS
from lipe_core.pixels import to_pixels
from lipe_core.recipe import load_recipe
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Features, Latents, PixelMask
from lipe_core.subject import Subject
from menagerie.attributes import sample_identity
from menagerie.experiment import edit_request, image_of, subject_of
from menagerie.judge import Judge, load_judge, score
from menagerie.models import CHECKPOINT
from menagerie.subjects import DrawnSubject, fresh

SEED, OTHERS_SEED = 4711, 99
BINS, RANGE = (6, 20, 20), ((0.0, 100.0), (-120.0, 120.0), (-120.0, 120.0))
"""Of L*, a* and b* of CIELAB."""
NOISE_LEVEL = 0.05
LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
"""The layer whose hidden states separate drawings best."""

Groups = dict[str, list[NDArray[np.float64]]]


def main() -> None:
    """Print the area under the ROC curve of each measure, and the 5 %, 50 % and 95 % quantiles of each group."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=24)
    parser.add_argument("--checkpoint", default=str(CHECKPOINT))
    arguments = parser.parse_args()
    model = sdxl.load(arguments.checkpoint, device=torch.device("cpu"), dtype=torch.float32)
    judge, found = load_judge(), defaultdict[str, Groups](partial(defaultdict, list))
    for number, drawn in enumerate(fresh(arguments.subjects, SEED)):
        for measure, values in margins(model, judge, drawn, np.random.default_rng([OTHERS_SEED, number])).items():
            for group, margin in values.items():
                found[measure][group].append(margin)
    for measure, groups in found.items():
        values = {group: np.concatenate(margin) for group, margin in groups.items()}
        for right, wrong in (("true drawing", "another identity"), ("identity kept", "identity lost")):
            print(f"{measure}: area {area_under_curve(values[right], values[wrong]):.2f}", end="")
            for group in (right, wrong):
                lowest, median, highest = np.quantile(values[group], (0.05, 0.5, 0.95))
                print(f"; {group}: {len(values[group])}, {lowest:.3f}, {median:.3f}, {highest:.3f}", end="")
            found_wrong = (values[wrong] < np.quantile(values[right], 0.05)).mean()
            print(f"; a limit that warns of 5 % of the first finds {found_wrong:.0%} of the second")


def margins(model: BaseModel, judge: Judge, drawn: DrawnSubject, rng: np.random.Generator) -> dict[str, Any]:
    """For each measure, the margins of the images of each group."""
    other = sample_identity(rng, drawn.identity.class_noun)
    edits = METHODS["nima"].edit(model, edit_request(drawn), load_recipe(model.checkpoint).method_config("nima"))
    images = [edit.image for edit in edits]
    kept = np.array([
        score(
            judge, drawn.test, asked, image=edit.image, uncomposited=edit.uncomposited, source_mask=edit.source_mask
        ).identity == 1
        for asked, edit in zip(drawn.edits, edits, strict=True)
    ])  # fmt: skip
    references = [image_of(drawing) for drawing in drawn.references]
    truths = [image_of(edit.truth) for edit in drawn.edits]
    others = [image_of(replace(edit.truth, identity=other)) for edit in drawn.edits]
    shown = [*references, *truths, *others, *images]
    x_0, silhouettes = located(model, shown, subject_of(drawn))
    rows = {
        "colors": color_histograms(shown, silhouettes),
        "latents": statistics(x_0, silhouettes),
        "hidden states": hidden_states(model, x_0, silhouettes, drawn.identity.class_noun),
    }
    edges = np.cumsum([len(references), len(truths), len(others)])
    measured = {}
    for measure, features in rows.items():
        ours, *groups = np.split(features.numpy(), edges)
        truth, wrong, made = (margin(ours, group, SIMILARITIES[measure]) for group in groups)
        measured[measure] = {
            "true drawing": truth, "another identity": wrong, "identity kept": made[kept], "identity lost": made[~kept],
        }  # fmt: skip
    return measured


def located(model: BaseModel, images: Sequence[Image.Image], subject: Subject) -> tuple[Latents, PixelMask]:
    """The images' latents, and the silhouettes that the base model finds."""
    x_0, finder = sdxl.encode_image(model, images), SubjectFinder(model, subject)
    with torch.no_grad():
        return x_0, finder.silhouette(to_pixels(images), x_0, [f"a photo of {subject.phrase}"] * len(images))


def color_histograms(images: Sequence[Image.Image], silhouettes: PixelMask) -> Features:
    """The root of the share of each color in the silhouette, so that a product is Bhattacharyya's coefficient."""
    rows = []
    for image, silhouette in zip(images, silhouettes, strict=True):
        lab = cv2.cvtColor(np.asarray(image.convert("RGB"), np.float32) / 255, cv2.COLOR_RGB2LAB)
        counts, _ = np.histogramdd(lab[silhouette.squeeze().numpy() > 0.5], bins=BINS, range=RANGE)
        rows.append(np.sqrt(counts.ravel() / max(counts.sum(), 1)))
    return torch.from_numpy(np.stack(rows)).float()


def statistics(values: Latents, silhouettes: PixelMask) -> Features:
    """Mean and standard deviation of each channel inside the silhouette."""
    mask = F.interpolate(silhouettes.reshape(len(values), 1, *silhouettes.shape[-2:]), values.shape[2:], mode="area")
    weight = mask / mask.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    mean = (values * weight).sum(dim=(2, 3), keepdim=True)
    variance = ((values - mean).square() * weight).sum(dim=(2, 3), keepdim=True)
    return rearrange(torch.cat([mean, variance.sqrt()], dim=1), "b d 1 1 -> b d")


def hidden_states(model: BaseModel, x_0: Latents, silhouettes: PixelMask, noun: str) -> Features:
    """`statistics` of the network's hidden states at a little noise (DIFT, https://arxiv.org/abs/2306.03881)."""
    states: list[torch.Tensor] = []
    hook = model.unet.get_submodule(LAYER).register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
    size, t = (x_0.shape[2] * model.factor, x_0.shape[3] * model.factor), round(NOISE_LEVEL * model.schedule.levels)
    denoise = sdxl.denoiser(model, sdxl.encode_prompt(model, [f"a photo of a {noun}"] * len(x_0), size=size))
    noise = unit_noise([0], model.latent_shape(size)).expand_as(x_0)
    try:
        with torch.no_grad():
            denoise(model.schedule.add_noise(x_0, noise, torch.full((len(x_0),), t)), t)
    finally:
        hook.remove()
    side = round(states[0].shape[1] ** 0.5)
    return statistics(rearrange(states[0], "b (h w) d -> b d h w", h=side), silhouettes)


Similarity = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


def product(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """The scalar product of each row with each other one."""
    return np.asarray(one @ other.T)


def cosine(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """The cosine of each row with each other one."""
    lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)
    return np.asarray(product(one, other) / lengths)


def nearness(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Minus the distance of each row from each other one."""
    return np.asarray(-np.linalg.norm(one[:, None] - other[None], axis=-1))


SIMILARITIES: Mapping[str, Similarity] = {"colors": product, "latents": nearness, "hidden states": cosine}


def margin(references: NDArray[Any], rows: NDArray[Any], similarity: Similarity) -> NDArray[np.float64]:
    """The mean similarity of each row with the references, minus the lowest that one reference has with the others."""
    among = similarity(references, references)
    others = (among.sum(axis=1) - np.diag(among)) / (len(references) - 1)
    return np.asarray(similarity(rows, references).mean(axis=1) - others.min(), dtype=np.float64)


if __name__ == "__main__":
    main()
