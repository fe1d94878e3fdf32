"""An invisible watermark by spread spectrum: a key's periodic pattern, added to the brightness of the edited region.

The pattern is a sum of low frequencies with equal magnitudes and the key's phases (Cox et al. 1997, "Secure spread
spectrum watermarking for multimedia"). It repeats, so that a part of the image suffices. Its period is a share of the
image's longer side, so that resizing changes nothing. Detection correlates the phases at every shift, in windows of
several sizes. Cropping changes the period relative to the image: detection tries each.

In a region that is large enough, half of the energy is that of a second pattern, whose signs are a message: see
watermark_message. Anyone with many marked images can estimate the patterns and remove them.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from provenance.watermark_message import REPEAT, Place, message_waves, read_message
from provenance.watermark_signal import (
    SIDE,
    SMALLEST,
    Complexes,
    Floats,
    box,
    columns,
    ring,
    rows,
    waves,
    whitened,
    working_copy,
)

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
SHIFTS = 32
"""Shifts along each side of the period that detection tries."""
PERIOD_RANGE = (0.55, 2.6)
"""Periods that detection tries, relative to those of an image that was not cropped."""
PERIOD_STEP = 0.008
BLOCKS = 4
THRESHOLD = 7.0
"""The smallest score of a found mark, at any period and shift: benchmarks/watermark_chance.py bounds false alarms."""
PLACED_THRESHOLD = 5.0
"""The same at the place of a mark in an image that was not cropped: chance has one place there, not millions."""
CANDIDATE = 5.0
"""The smallest score at which a message is searched: with a right checksum it makes the mark a found one."""
MESSAGE_SIDE = 192
"""A region with fewer pixels than a square of this side carries no message, and its mark is as strong as can be."""
MESSAGE_SHARE = 0.06
"""The same, relative to a square with the image's longer side."""
ALIGNMENT_STEPS = np.linspace(-0.003, 0.003, 13)
ALIGNMENT_RADIUS = 1.2
"""The marked pixels are estimated by means over squares of so many periods on each side."""


@dataclass(frozen=True)
class Found:
    """The best score of a detection, in standard deviations of chance, and the period where it was found.

    `message` is None if the mark has none, or if it cannot be read. `placed` is the score at the place of a mark in an
    image that was not cropped.
    """

    score: float
    period: float
    message: int | None = None
    placed: float = 0.0

    @property
    def is_found(self) -> bool:
        """Whether chance is ruled out."""
        return self.score >= THRESHOLD or self.placed >= PLACED_THRESHOLD or self.message is not None


def has_room(mask: Image.Image) -> bool:
    """Whether the region where the mask is white can carry a message."""
    pixels = int((np.asarray(mask) >= WHITE).sum())
    return pixels >= max(MESSAGE_SIDE**2, MESSAGE_SHARE * max(mask.size) ** 2)


def embed(image: Image.Image, mask: Image.Image, key: bytes, message: int | None = None) -> Image.Image:
    """The RGB image with the mark where the mask is white. All other pixels keep their values.

    It carries the message if that can be read again. Otherwise the mark is stronger without one.
    """
    region = np.asarray(mask) >= WHITE
    if message is not None and has_room(mask):
        marked = _marked(image, region, key, message)
        if detect(marked, key).message == message:
            return marked
    return _marked(image, region, key, None)


def _marked(image: Image.Image, region: NDArray[np.bool_], key: bytes, message: int | None) -> Image.Image:
    source = np.asarray(image)
    height, width = region.shape
    own, period = _key_waves(key), max(image.size) / PERIODS
    patterns = [(own, period, HIGHEST)]
    if message is not None:
        half = np.float32(np.sqrt(0.5))
        patterns = [
            (own * half, period, HIGHEST),
            (message_waves(message, key, LOWEST, HIGHEST) * half, REPEAT * period, REPEAT * HIGHEST),
        ]
    across = [(spectrum @ waves(width, length, columns(top)).T, length, top) for spectrum, length, top in patterns]
    strength = np.asarray(_strength(image).resize(image.size, Image.Resampling.BILINEAR))
    marked = source.copy()
    for start in range(0, height, STRIP):  # an image of 12 megapixels has 146 MB as floats
        strip = slice(start, min(start + STRIP, height))
        mark = sum((waves(strip.stop - start, length, rows(top), start) @ part).real for part, length, top in across)
        changed = np.clip(np.round(source[strip] + (mark * strength[strip])[:, :, None]), 0, 255).astype(np.uint8)
        marked[strip] = np.where(region[strip, :, None], changed, source[strip])
    return Image.fromarray(marked)


def detect(image: Image.Image, key: bytes) -> Found:
    """Search the key's mark in the image, and its message. An image with a side below SMALLEST has none."""
    if min(image.size) < SMALLEST:
        return Found(0.0, 1.0)
    white, expected = whitened(working_copy(image)), np.conj(_key_waves(key))
    low, high = map(float, np.log(PERIOD_RANGE))
    coarse = np.exp(np.arange(low, high, PERIOD_STEP))
    scores = [_score(white, expected, period) for period in coarse]
    best = coarse[np.argsort(scores)[-3:]]
    fine = [period * (1 + step) for period in best for step in np.linspace(-PERIOD_STEP, PERIOD_STEP, 9)]
    score, period = max((_score(white, expected, period), period) for period in fine)
    message = _message(white, key, period) if score >= CANDIDATE else None
    placed = _correlations(_spectra(white, SIDE / PERIODS), expected)[:, 0, 0].max()
    return Found(float(score), float(period), message, float(placed))


def _message(white: Floats, key: bytes, period: float) -> int | None:
    """The message of a mark with this period, once its place is known precisely."""
    length = period * SIDE / PERIODS
    correlation = _correlations(_spectra(white, length), np.conj(_key_waves(key)))
    _, down, across = np.unravel_index(correlation.argmax(), correlation.shape)
    place = Place(length, float(down) / SHIFTS, float(across) / SHIFTS)
    for _ in range(2):
        weighted = white * np.maximum(box(white * _pattern(white, key, place), round(ALIGNMENT_RADIUS * length)), 0)
        tried = [_placed(weighted, key, place.period * (1 + step)) for step in ALIGNMENT_STEPS]
        place = max(tried, key=itemgetter(0))[1]
    return read_message(weighted, key, place, LOWEST, HIGHEST)


def _pattern(white: Floats, key: bytes, place: Place) -> Floats:
    """The key's pattern at this place, in an image as large as the other one."""
    height, width = white.shape
    shift = place.down * rows(HIGHEST)[:, None] + place.across * columns(HIGHEST)[None]
    spectrum = (_key_waves(key) * np.exp(-2j * np.pi * shift)).astype(np.complex64)
    down, across = waves(height, place.period, rows(HIGHEST)), waves(width, place.period, columns(HIGHEST))
    return np.asarray((down @ (spectrum @ across.T)).real)


def _placed(weighted: Floats, key: bytes, period: float) -> tuple[float, Place]:
    """The best shift for a period in pixels, in steps of a quarter of those of `_correlations`, and its score."""
    height, width = weighted.shape
    spectrum = waves(height, period, -rows(HIGHEST)).T @ (weighted @ waves(width, period, -columns(HIGHEST)))
    expected = np.conj(_key_waves(key))
    coarse = _correlations(spectrum[None], expected)[0]
    steps = np.linspace(-1, 1, 9) / SHIFTS
    down, across = (start / SHIFTS + steps for start in np.unravel_index(coarse.argmax(), coarse.shape))
    aligned = spectrum / (np.abs(spectrum) + 1e-9) * expected
    turned = np.exp(2j * np.pi * down[:, None] * rows(HIGHEST)) @ aligned
    fine = (turned @ np.exp(2j * np.pi * across[:, None] * columns(HIGHEST)).T).real
    best = np.unravel_index(fine.argmax(), fine.shape)
    return float(fine.max()), Place(period, float(down[best[0]]), float(across[best[1]]))


@cache
def _band() -> NDArray[np.bool_]:
    """The frequencies of the pattern."""
    return ring(LOWEST, HIGHEST)


def _key_waves(key: bytes) -> Complexes:
    """The coefficients of the key's pattern, which has mean 0 and standard deviation 1."""
    seed = int.from_bytes(hashlib.sha256(b"lipe watermark 1\0" + key).digest())
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, _band().shape)
    return np.where(_band(), np.exp(1j * phases) * np.sqrt(2 / _band().sum()), 0).astype(np.complex64)


def _strength(image: Image.Image) -> Image.Image:
    """The mark's standard deviation at each pixel of a small copy: texture hides more of it."""
    gray = working_copy(image)
    mean = box(gray, 4)
    deviation = np.sqrt(np.maximum(box(gray * gray, 4) - mean * mean, 0))
    return Image.fromarray(np.minimum(STRENGTH + TEXTURE_STRENGTH * deviation, STRONGEST))


def _score(white: Floats, expected: Complexes, period: float) -> float:
    """The largest correlation of any window and shift, in standard deviations of chance."""
    return float(_correlations(_spectra(white, period * SIDE / PERIODS), expected).max())


def _spectra(white: Floats, length: float) -> Complexes:
    """The coefficients of the image and of its windows, for a period in pixels."""
    height, width = white.shape
    along, beside = waves(height, length, -rows(HIGHEST)), waves(width, length, -columns(HIGHEST))
    down, across = (np.linspace(0, side, BLOCKS + 1).astype(int) for side in (height, width))
    parts = [
        (white[:, left:right] @ beside[left:right].view(np.float32)).view(np.complex64)  # real times complex
        for left, right in pairwise(across)
    ]
    blocks = np.array([[along[top:end].T @ part[top:end] for part in parts] for top, end in pairwise(down)])
    pairs = blocks[:-1] + blocks[1:]
    shape = (-1, *_band().shape)
    return np.concatenate([part.reshape(shape) for part in (blocks.sum((0, 1)), pairs[:, :-1] + pairs[:, 1:], blocks)])


def _correlations(spectra: Complexes, expected: Complexes) -> Floats:
    """The correlation of each spectrum's phases with the pattern's, at SHIFTS x SHIFTS shifts."""
    aligned = spectra / (np.abs(spectra) + 1e-9) * expected
    padded = np.zeros((len(spectra), SHIFTS, SHIFTS), np.complex64)
    padded[:, rows(HIGHEST).astype(int)[:, None] % SHIFTS, columns(HIGHEST).astype(int)] = aligned
    return np.asarray(np.fft.ifft2(padded).real * SHIFTS * SHIFTS)
