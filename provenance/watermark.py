"""An invisible watermark by spread spectrum: a key's periodic pattern, added to the brightness of the edited region.

The pattern is a sum of low frequencies with equal magnitudes and the key's phases (Cox et al. 1997, "Secure spread
spectrum watermarking for multimedia"). It repeats, so that a part of the image suffices. Its period is a share of the
image's longer side, so that resizing changes nothing. Detection correlates the phases at every shift, in windows of
several sizes. Cropping changes the period relative to the image: detection tries each.

It carries no message: it is found, or it is not. Anyone with many marked images can estimate the pattern and remove it.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.float32]
Complexes: TypeAlias = NDArray[np.complex64]
PERIODS = 10
"""Periods along the longer side of the marked image."""
LOWEST, HIGHEST = 2, 9
"""Frequencies of the pattern, in cycles per period."""
STRENGTH = 1.6
"""Standard deviation of the mark where the image is flat, in gray levels of 255."""
TEXTURE_STRENGTH = 0.16
"""How much it grows with the local standard deviation of the image."""
STRONGEST = 6.0
STRIP = 256
WHITE = 128
SIDE = 512
"""The longer side of the copy that detection reads, in pixels."""
SMALLEST = 64
SHIFTS = 32
"""Shifts along each side of the period that detection tries."""
PERIOD_RANGE = (0.55, 2.6)
"""Periods that detection tries, relative to those of an image that was not cropped."""
PERIOD_STEP = 0.008
BLOCKS = 4
THRESHOLD = 6.7
"""The smallest score of a found mark. benchmarks/watermark.py measures the score of unmarked images."""


@dataclass(frozen=True)
class Found:
    """The best score of a detection, in standard deviations of chance, and the period where it was found."""

    score: float
    period: float

    @property
    def is_found(self) -> bool:
        """Whether chance is ruled out."""
        return self.score >= THRESHOLD


def embed(image: Image.Image, mask: Image.Image, key: bytes) -> Image.Image:
    """The RGB image with the mark where the mask is white. All other pixels keep their values."""
    source, region = np.asarray(image), np.asarray(mask) >= WHITE
    height, width = region.shape
    waves = _key_waves(key) @ _waves(width, max(image.size) / PERIODS, _columns()).T  # (rows' frequencies, width)
    strength = np.asarray(_strength(image).resize(image.size, Image.Resampling.BILINEAR))
    marked = source.copy()
    for top in range(0, height, STRIP):  # an image of 12 megapixels has 146 MB as floats
        rows = slice(top, min(top + STRIP, height))
        mark = (_waves(rows.stop - top, max(image.size) / PERIODS, _rows(), top) @ waves).real * strength[rows]
        changed = np.clip(np.round(source[rows] + mark[:, :, None]), 0, 255).astype(np.uint8)
        marked[rows] = np.where(region[rows, :, None], changed, source[rows])
    return Image.fromarray(marked)


def detect(image: Image.Image, key: bytes) -> Found:
    """Search the key's mark in the image. An image with a side below SMALLEST has none."""
    if min(image.size) < SMALLEST:
        return Found(0.0, 1.0)
    whitened, expected = _whitened(_working_copy(image)), np.conj(_key_waves(key))
    low, high = map(float, np.log(PERIOD_RANGE))
    coarse = np.exp(np.arange(low, high, PERIOD_STEP))
    scores = [_score(whitened, expected, period) for period in coarse]
    best = coarse[np.argsort(scores)[-3:]]
    fine = [period * (1 + step) for period in best for step in np.linspace(-PERIOD_STEP, PERIOD_STEP, 9)]
    score, period = max((_score(whitened, expected, period), period) for period in fine)
    return Found(float(score), float(period))


def _rows() -> Floats:
    return np.arange(-HIGHEST, HIGHEST + 1, dtype=np.float32)


def _columns() -> Floats:
    return np.arange(HIGHEST + 1, dtype=np.float32)


@cache
def _band() -> NDArray[np.bool_]:
    """The frequencies of the pattern: half of the plane, as the other half mirrors it."""
    radius = np.hypot(_rows()[:, None], _columns()[None])
    is_mirrored = (_columns()[None] == 0) & (_rows()[:, None] < 0)
    return np.asarray((radius >= LOWEST) & (radius <= HIGHEST) & ~is_mirrored)


def _key_waves(key: bytes) -> Complexes:
    """The coefficients of the key's pattern, which has mean 0 and standard deviation 1."""
    seed = int.from_bytes(hashlib.sha256(b"lipe watermark 1\0" + key).digest())
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, _band().shape)
    return np.where(_band(), np.exp(1j * phases) * np.sqrt(2 / _band().sum()), 0).astype(np.complex64)


def _waves(length: int, period: float, frequencies: Floats, start: int = 0) -> Complexes:
    """One wave for each frequency, in a row for each pixel: (length, frequencies)."""
    places = (np.arange(start, start + length) + 0.5) / period
    return np.asarray(np.exp(2j * np.pi * places[:, None] * frequencies), np.complex64)


def _strength(image: Image.Image) -> Image.Image:
    """The mark's standard deviation at each pixel of a small copy: texture hides more of it."""
    gray = _working_copy(image)
    mean = _box(gray, 4)
    deviation = np.sqrt(np.maximum(_box(gray * gray, 4) - mean * mean, 0))
    return Image.fromarray(np.minimum(STRENGTH + TEXTURE_STRENGTH * deviation, STRONGEST))


def _box(values: Floats, radius: int) -> Floats:
    """Means over squares of 2 `radius` + 1 pixels, with the border repeated."""
    side = 2 * radius + 1
    for axis in (0, 1):
        widths = [(0, 0), (0, 0)]
        widths[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(values, widths, mode="edge"), axis=axis, dtype=np.float64)
        first = np.arange(values.shape[axis])
        values = ((np.take(sums, first + side, axis) - np.take(sums, first, axis)) / side).astype(np.float32)
    return values


def _working_copy(image: Image.Image) -> Floats:
    width, height = (max(SMALLEST, round(length * SIDE / max(image.size))) for length in image.size)
    return np.asarray(image.convert("L").resize((width, height), Image.Resampling.BICUBIC), np.float32)


def _whitened(gray: Floats) -> Floats:
    """The image without its low frequencies, with about the same energy everywhere."""
    detail = gray - _box(gray, 6)
    energy = np.sqrt(_box(detail * detail, 6))
    return np.clip(detail / (energy + 1.5), -3, 3)


def _score(whitened: Floats, expected: Complexes, period: float) -> float:
    """The largest correlation of any window and shift, in standard deviations of chance."""
    height, width = whitened.shape
    length = period * SIDE / PERIODS
    rows, columns = _waves(height, length, -_rows()), _waves(width, length, -_columns())
    down, across = (np.linspace(0, side, BLOCKS + 1).astype(int) for side in (height, width))
    parts = [
        (whitened[:, left:right] @ columns[left:right].view(np.float32)).view(np.complex64)  # real times complex
        for left, right in pairwise(across)
    ]
    blocks = np.array([[rows[top:end].T @ part[top:end] for part in parts] for top, end in pairwise(down)])
    pairs = blocks[:-1] + blocks[1:]
    shape = (-1, *expected.shape)
    windows = np.concatenate(
        [part.reshape(shape) for part in (blocks.sum((0, 1)), pairs[:, :-1] + pairs[:, 1:], blocks)]
    )
    aligned = windows / (np.abs(windows) + 1e-9) * expected
    padded = np.zeros((len(windows), SHIFTS, SHIFTS), np.complex64)
    padded[:, _rows().astype(int)[:, None] % SHIFTS, _columns().astype(int)] = aligned
    correlation = np.fft.ifft2(padded).real.max() * SHIFTS * SHIFTS
    return float(correlation)
