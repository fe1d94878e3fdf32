"""Pairs of an edited drawing and its true result, half of them damaged as unsuccessful edits are.

The whole half differs from the true result as a good edit may: position, scale, proportions, tint and the positions of
a pattern's spots. The damaged half has one kind of `menagerie.damage`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from menagerie.attributes import Drawing
from menagerie.captions import full_caption
from menagerie.damage import DAMAGES, Mask, Parts, difference, soft
from menagerie.draw import mask, render, render_ground
from menagerie.subjects import fresh

LEAST_PIXELS = 24
"""Least number of damaged pixels of a damaged example. An eye has about 60."""


@dataclass(frozen=True)
class Example:
    """An edit, its true result, and the pixels of the edit that are damaged: none if the edit is whole.

    Images are (128, 128, 3) RGB bytes. `silhouette` is that of the subject in a whole edit.
    """

    image: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]
    damaged: Mask
    silhouette: Mask
    caption: str


def examples(seed: int, count: int) -> Iterator[Example]:
    """`count` examples, alternately whole and damaged: each a function of (seed, index)."""
    for k, drawn in enumerate(fresh(-(-count // 4), seed)):
        for j, edit in enumerate(drawn.edits):
            if 4 * k + j < count:
                rng = np.random.default_rng([seed, k, j])
                yield example(rng, drawn.test, edit.truth, is_damaged=(j + k) % 2 == 1)


def example(rng: np.random.Generator, source: Drawing, truth: Drawing, *, is_damaged: bool) -> Example:
    """One example for the edit from `source` to `truth`."""
    edit = prepare(rng, source, truth)
    whole = damaged = edit.whole.astype(np.uint8)
    while is_damaged and difference(damaged, whole).sum() < LEAST_PIXELS:
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        damaged = damage(rng, edit).clip(0, 255).round().astype(np.uint8)
    return Example(damaged, render(truth), difference(damaged, whole), edit.new, full_caption(truth))


def prepare(rng: np.random.Generator, source: Drawing, truth: Drawing) -> Parts:
    """A whole edit from `source` to about `truth`, with the images that damage it."""
    drawing = _varied(rng, truth)
    return Parts(
        source=render(source).astype(np.float32),
        whole=render(drawing).astype(np.float32),
        ground=render_ground(drawing).astype(np.float32),
        old=mask(source),
        new=mask(drawing),
        drawing=drawing,
    )


def visible_errors(image: npt.NDArray[np.uint8], whole: npt.NDArray[np.uint8], silhouette: Mask) -> Mask:
    """The pixels of a generated subject that differ from the drawing, wherever it is placed up to one pixel beside."""
    offsets = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    near_subject = soft(silhouette, 2)[..., 0] > 0.05
    errors = [difference(np.roll(image, offset, axis=(0, 1)), whole) for offset in offsets]
    return np.asarray(near_subject & np.all(errors, axis=0))


def _varied(rng: np.random.Generator, drawing: Drawing) -> Drawing:
    """The drawing as a good edit may show it: moved by up to 2 pixels, with slightly other proportions."""
    identity = drawing.identity
    head, ear, limb = (
        float(np.clip(size + rng.normal(0, 0.25), -1, 1))
        for size in (identity.head_size, identity.ear_size, identity.limb_length)
    )
    red, green, blue = (float(np.clip(c + rng.normal(0, 0.2), -1, 1)) for c in identity.tint)
    seed = int(rng.integers(2**31)) if rng.random() < 0.4 else identity.pattern_seed
    near = replace(identity, head_size=head, ear_size=ear, limb_length=limb, tint=(red, green, blue), pattern_seed=seed)
    scene = replace(
        drawing.scene,
        x=drawing.scene.x + rng.uniform(-0.33, 0.33),
        scale=drawing.scene.scale * rng.uniform(0.98, 1.02),
    )
    return replace(drawing, identity=near, scene=scene)
