"""The kinds of damage that edits have, made on drawings: parts of the source, missing parts, and smeared parts."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import conv2d, grid_sample, pad

from menagerie.attributes import Drawing
from menagerie.draw import render
from menagerie.subjects import related_identity

Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_VISIBLE = 48
"""Least difference in one channel, in grey levels, of a pixel that counts as damaged."""


@dataclass(frozen=True)
class Parts:
    """The source, the whole edit and its ground in [0, 255], both silhouettes, and the drawing of the edit."""

    source: Pixels
    whole: Pixels
    ground: Pixels
    old: Mask
    new: Mask
    drawing: Drawing


def difference(image: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> Mask:
    """The pixels in which a person sees that two images differ."""
    return np.asarray(np.abs(image.astype(int) - other).max(axis=2) > _VISIBLE)


def _blurred(image: Pixels, sigma: float) -> Pixels:
    """A Gaussian blur of (height, width, channels)."""
    radius = round(3 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    x = pad(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[:, None], 4 * (radius,), mode="replicate")
    weights = weights / weights.sum()
    x = conv2d(conv2d(x, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return np.asarray(x[:, 0].permute(1, 2, 0).numpy())


def soft(where: Mask, sigma: float) -> Pixels:
    """A mask with a soft edge, (height, width, 1)."""
    return _blurred(where[..., None].astype(np.float32), sigma)


def _spot(rng: np.random.Generator, where: Mask, least: float = 6, most: float = 26) -> Pixels:
    """The weight (128, 128, 1) of a rotated ellipse around a random pixel of `where`, in [0, 1] with a soft edge."""
    ys, xs = np.nonzero(where) if where.any() else np.nonzero(~where)
    k = int(rng.integers(len(ys)))
    y, x = np.mgrid[: where.shape[0], : where.shape[1]].astype(np.float32)
    angle, (a, b) = rng.uniform(0, np.pi), rng.uniform(least, most, 2)
    u = (x - xs[k]) * np.cos(angle) + (y - ys[k]) * np.sin(angle)
    v = (y - ys[k]) * np.cos(angle) - (x - xs[k]) * np.sin(angle)
    inside = (1 - np.hypot(u / a, v / b)) * min(a, b) / rng.uniform(1, 4)
    return np.asarray(inside.clip(0, 1)[..., None], np.float32)


def _blend(first: Pixels, second: Pixels, weight: Pixels | float) -> Pixels:
    return np.asarray(first + (second - first) * weight, np.float32)


def _changed(edit: Parts) -> Mask:
    return np.asarray(np.abs(edit.source - edit.whole).max(axis=2) > _VISIBLE)


def _ghost(rng: np.random.Generator, edit: Parts) -> Pixels:
    """Part of the old silhouette shows through, where the edit has the ground."""
    left = edit.old & ~edit.new
    weight = _spot(rng, left, 10, 50) * soft(left, 0.7)
    return _blend(edit.whole, edit.source, weight * rng.uniform(0.3, 1))


def _old_part(rng: np.random.Generator, edit: Parts) -> Pixels:
    """A part is that of the source."""
    return _blend(edit.whole, edit.source, _spot(rng, _changed(edit)))


def _mixture(rng: np.random.Generator, edit: Parts) -> Pixels:
    """Source and edit are blended over the whole subject, or over a part."""
    where = _spot(rng, _changed(edit), 12, 50) if rng.random() < 0.5 else 1.0
    return _blend(edit.whole, edit.source, where * rng.uniform(0.35, 0.65))


def _unedited(rng: np.random.Generator, edit: Parts) -> Pixels:
    return edit.source


def _missing(rng: np.random.Generator, edit: Parts) -> Pixels:
    """A part at the edge of the subject has the ground's pixels."""
    inner = soft(edit.new, 4)[..., 0] > 0.8
    return _blend(edit.whole, edit.ground, _spot(rng, edit.new & ~inner, 4, 15))


def _without_accessory(rng: np.random.Generator, edit: Parts) -> Pixels:
    """The accessory is missing, or a part of it."""
    if edit.drawing.identity.accessory == "none":
        return _missing(rng, edit)
    bare = replace(edit.drawing, identity=replace(edit.drawing.identity, accessory="none"))
    without = render(bare).astype(np.float32)
    accessory = np.abs(without - edit.whole).max(axis=2) > _VISIBLE
    where = _spot(rng, accessory, 5, 12) if rng.random() < 0.4 else 1.0
    return _blend(edit.whole, without, where)


def _other_subject(rng: np.random.Generator, edit: Parts) -> Pixels:
    """A part of another subject of the class, in the same action."""
    other = replace(edit.drawing, identity=related_identity(rng, edit.drawing.identity))
    return _blend(edit.whole, render(other).astype(np.float32), _spot(rng, edit.new, 10, 40))


def _smear(rng: np.random.Generator, edit: Parts) -> Pixels:
    """Some parts are so blurred that their shape is lost."""
    blurred = _blurred(edit.whole, rng.uniform(3.5, 7))
    smeared = edit.whole
    for _ in range(int(rng.integers(1, 4))):
        smeared = _blend(smeared, blurred, _spot(rng, edit.new, 7, 18))
    return smeared


def _smudge(rng: np.random.Generator, edit: Parts) -> Pixels:
    """Small features, as an eye, a mouth or a freckle, are smudged or gone."""
    blurred = _blurred(edit.whole, rng.uniform(1.5, 5))
    features = (np.abs(blurred - edit.whole).max(axis=2) > _VISIBLE) & edit.new
    smudged = edit.whole
    for _ in range(int(rng.integers(1, 4))):
        smudged = _blend(smudged, blurred, _spot(rng, features, 3.5, 9))
    return smudged


def _melt(rng: np.random.Generator, edit: Parts) -> Pixels:
    """Random displacements of the pixels make outlines ragged, in a part or in the whole subject."""
    size, smoothness = edit.new.shape, rng.uniform(1.5, 5)
    shifts = _blurred(rng.standard_normal((*size, 2)).astype(np.float32), smoothness)
    shifts *= _spot(rng, edit.new, 10, 40) * rng.uniform(3, 6) / max(float(shifts.std()), 1e-6)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    places = np.stack([x + shifts[..., 0], y + shifts[..., 1]], axis=2) * (2 / (size[0] - 1)) - 1
    melted = grid_sample(
        torch.from_numpy(edit.whole).permute(2, 0, 1)[None],
        torch.from_numpy(places.astype(np.float32))[None],
        padding_mode="border",
        align_corners=True,
    )
    return np.asarray(melted[0].permute(1, 2, 0).numpy())


def _rags(rng: np.random.Generator, edit: Parts) -> Pixels:
    """Small patches along the outline are missing, or have the colours of other places of the subject."""
    inner = soft(edit.new, 3)[..., 0] > 0.85
    edge = edit.new & ~inner
    moved = np.roll(edit.whole, tuple(int(d) for d in rng.integers(-12, 13, 2)), axis=(0, 1))
    ragged = edit.whole
    for _ in range(int(rng.integers(3, 9))):
        other = edit.ground if rng.random() < 0.6 else moved
        ragged = _blend(ragged, other, _spot(rng, edge, 2.5, 7))
    return ragged


DAMAGES = (
    _ghost,
    _old_part,
    _mixture,
    _unedited,
    _missing,
    _without_accessory,
    _other_subject,
    _smear,
    _smudge,
    _smudge,
    _smudge,
    _melt,
    _melt,
    _rags,
    _rags,
)
