"""Which blocks of a klein show where the subject is: ``python -m menagerie.klein_maps --images 64 --checkpoint DIR``.

For each block there are two maps of the class noun over the image tokens. `attention` has the columns of the softmax
over text and image, averaged over heads. `output` compares the attention's outputs of image and words, as
ConceptAttention does (https://arxiv.org/abs/2502.04320), with the words of the prompt as concepts. A map is the noun's
share among all words of the prompt, at the noise levels of the subject finder. It is compared with the true silhouette:
the average precision over the tokens, and the IoU of Otsu's threshold. The finder's own map is a row of the table.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from diffusers.models.transformers import transformer_flux2
from einops import rearrange
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lipe_core import backbone
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.masks import localization, mask_ops
from lipe_core.masks.recording import Prompts, encode_prompts
from lipe_core.subject import Subject
from menagerie.attributes import Drawing
from menagerie.captions import class_prompt
from menagerie.draw import mask, render
from menagerie.miniatures import load_chosen
from menagerie.pool import drawing_of

LEVELS = (0.05, 0.25, 0.45, 0.65, 0.85)
"""Fractions of the schedule, those of `lipe_core.masks.localization`."""

Maps = dict[str, Float[Tensor, " n"]]
"""Maps over the image tokens by name."""


@contextmanager
def recorded_blocks(record: Callable[[Tensor, Tensor, Tensor], None]) -> Iterator[None]:
    """Call `record` with the rotated queries and keys and the output of each block's attention, in order.

    They have the shape (b, tokens, heads, width), text first.
    """
    attend = transformer_flux2.dispatch_attention_fn

    def recorded(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        output: Tensor = attend(query, key, value, **options)
        record(query, key, output)
        return output

    with mock.patch.object(transformer_flux2, "dispatch_attention_fn", recorded):
        yield


def block_maps(model: BaseModel, prompts: Prompts, x_t: Tensor, t: int) -> Maps:
    """Both maps of each block in one call of the network, for one row."""
    found: Maps = {}
    words = prompts.cond.prompt_embeds.shape[1]
    wanted, content = prompts.tokens.wanted[0], prompts.tokens.content[0]

    def record(query: Tensor, key: Tensor, output: Tensor) -> None:
        block = len(found) // 2
        q, k = (rearrange(x[0], "n head d -> head n d") for x in (query, key))
        attention = (q[:, words:] @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1).mean(dim=0)[:, :words]
        flat = rearrange(output[0], "n head d -> n (head d)")
        alike = (flat[words:] @ flat[:words][content].mT / math.sqrt(flat.shape[-1])).softmax(dim=-1)
        found[f"attention {block}"] = attention[:, wanted].sum(dim=-1) / attention[:, content].sum(dim=-1)
        found[f"output {block}"] = alike[:, wanted[content]].sum(dim=-1)

    with recorded_blocks(record):
        model.denoiser(prompts.cond)(x_t, t)
    return found


@torch.no_grad()
def maps_of(model: BaseModel, drawing: Drawing) -> Maps:
    """The maps of one drawing, averaged over the noise levels, with the finder's maps."""
    image, noun = Image.fromarray(render(drawing)), drawing.identity.class_noun
    x_0, subject, caption = backbone.encode_image(model, [image]), Subject("sks", noun), class_prompt(drawing)
    size = model.image_size(x_0)
    prompts = encode_prompts(model, [caption], subject, size, names_token=False, negative_prompt=None)
    eps, sums = unit_noise([0], model.latent_shape(size)).to(x_0), dict[str, Tensor]()
    for level in LEVELS:
        t = round(level * model.schedule.levels)
        x_t = model.schedule.add_noise(x_0, eps, torch.tensor([t]))
        for name, found in block_maps(model, prompts, x_t, t).items():
            sums[name] = sums.get(name, torch.zeros_like(found)) + found
    finder = localization.SubjectFinder(model, subject)
    sums["class map"] = localization.class_map(model, x_0, [caption], subject).flatten()
    sums["finder"] = finder.base_map(x_0, [caption]).flatten()
    return sums


def truth(drawing: Drawing, size: tuple[int, int]) -> Bool[np.ndarray, " n"]:
    """The image tokens of which the silhouette covers at least half."""
    silhouette = torch.from_numpy(mask(drawing)).float()[None, None]
    return (mask_ops.resize(silhouette, size) >= 0.5).flatten().numpy()


def average_precision(scores: Float[np.ndarray, " n"], true: Bool[np.ndarray, " n"]) -> float:
    """The mean precision at each true token, in the order of the scores."""
    ordered = true[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(ordered) / np.arange(1, len(ordered) + 1))[ordered].mean())


def otsu_iou(scores: Float[np.ndarray, " n"], true: Bool[np.ndarray, " n"]) -> float:
    """The IoU of the tokens above Otsu's threshold."""
    maps = mask_ops.min_max_normalize(torch.from_numpy(scores)[None, None, None])
    chosen = (maps > mask_ops.otsu(maps).view(1, 1, 1, 1)).flatten().numpy()
    return float((chosen & true).sum() / max(1, (chosen | true).sum()))


def main(argv: list[str] | None = None) -> dict[str, tuple[float, float]]:
    options = parse(argv)
    model = load_chosen(options)
    if model.family != "flux2":
        raise SystemExit(f"{options.checkpoint} is no klein: name the folder of one with --checkpoint")
    found: dict[str, list[tuple[float, float]]] = {}
    for k in tqdm(range(options.images), desc="images"):
        drawing = drawing_of(options.seed, k)
        true = truth(drawing, model.latent_shape((model.native_size, model.native_size))[1:])
        for name, scores in maps_of(model, drawing).items():
            values = scores.numpy()
            found.setdefault(name, []).append((average_precision(values, true), otsu_iou(values, true)))
    means = {name: tuple(np.mean(rows, axis=0)) for name, rows in found.items()}
    print(f"{'map':<16}{'precision':>10}{'IoU':>8}")
    for name, (precision, iou) in means.items():
        print(f"{name:<16}{precision:>10.3f}{iou:>8.3f}")
    return means


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.klein_maps", description=__doc__)
    parser.add_argument("--images", type=int, default=64, help="number of drawings")
    parser.add_argument("--seed", type=int, default=1, help="seed of the drawings")
    parser.add_argument("--checkpoint", type=Path, help="folder of the klein (default: its miniature)")
    parser.set_defaults(backbone="flux2", device="cpu")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
