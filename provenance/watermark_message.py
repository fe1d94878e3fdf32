"""A message of 32 bits in the watermark: which of the key's many patterns lies beside the one that detection searches.

The message and its checksum are four symbols of 12 bits. Each symbol chooses one of 4,096 sequences of signs, which
modulate frequencies between those of the watermark's own pattern. The reader correlates with all sequences and takes
the best one (Kutter 1999, "Performance improvement of spread spectrum based image watermarking schemes through M-ary
modulation"). It decides by magnitudes and not bit by bit, as the decoder of a block code by bytes would.

The pattern repeats after two periods of the watermark, whose frequencies are then the even ones. So neither disturbs
the other, and the watermark's own pattern says where this one lies, except for one period in each direction.
"""

import hashlib
import hmac
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from provenance.watermark_signal import Complexes, Floats, columns, ring, rows, waves

BITS, CHECKSUM_BITS = 32, 16
SYMBOLS, SYMBOL_BITS = 4, 12
REPEAT = 2
"""Periods of the watermark until the message's pattern repeats."""


@dataclass(frozen=True)
class Place:
    """The period of the watermark's own pattern, in pixels, and its shift in periods: down and across."""

    period: float
    down: float
    across: float


def message_waves(message: int, key: bytes, lowest: int, highest: int) -> Complexes:
    """The coefficients of the message's pattern, which has mean 0 and standard deviation 1.

    The frequencies are in cycles per REPEAT periods: `rows` and `columns` of REPEAT times `highest`.
    """
    is_used = _frequencies(lowest, highest)
    count = int(is_used.sum())
    sequences, places = _codebook(key, count)
    signs = np.ones(2 * count, np.float32)
    for symbol, own in zip(_symbols(message, key), places, strict=True):
        signs[own] = sequences[symbol]
    spectrum = np.zeros(is_used.shape, np.complex64)
    spectrum[is_used] = (signs[:count] + 1j * signs[count:]) / np.sqrt(count)
    return spectrum


def read_message(weighted: Floats, key: bytes, place: Place, lowest: int, highest: int) -> int | None:
    """The message in an image that is weighted by how likely each pixel is marked. None: its checksum is wrong."""
    is_used, down, across = _frequencies(lowest, highest), rows(REPEAT * highest), columns(REPEAT * highest)
    (height, width), period = weighted.shape, REPEAT * place.period
    spectrum = waves(height, period, -down).T @ (weighted @ waves(width, period, -across))
    sequences, places = _codebook(key, int(is_used.sum()))
    found = []
    for start in product(range(REPEAT), repeat=2):
        shift = (place.down + start[0]) * down[:, None] + (place.across + start[1]) * across[None]
        waved = (spectrum * np.exp(2j * np.pi * shift / REPEAT))[is_used]
        waved = waved / np.sqrt(np.abs(waved) + 1e-9)  # between phases alone and magnitudes that a few edges dominate
        parts = np.concatenate([waved.real, waved.imag])
        scores = np.array([sequences @ parts[own] for own in places])
        found.append((float(scores.max(axis=1).sum()), [int(symbol) for symbol in scores.argmax(axis=1)]))
    return _message(max(found)[1], key)


def _symbols(message: int, key: bytes) -> list[int]:
    if not 0 <= message < 1 << BITS:
        raise ValueError(f"a message has {BITS} bits")
    word = message << CHECKSUM_BITS | _checksum(message, key)
    return [word >> SYMBOL_BITS * index & (1 << SYMBOL_BITS) - 1 for index in range(SYMBOLS)]


def _message(symbols: list[int], key: bytes) -> int | None:
    word = sum(symbol << SYMBOL_BITS * index for index, symbol in enumerate(symbols))
    message = word >> CHECKSUM_BITS
    return message if _symbols(message, key) == symbols else None


def _checksum(message: int, key: bytes) -> int:
    digest = hmac.digest(key, b"lipe watermark checksum 1\0" + message.to_bytes(BITS // 8), "sha256")
    return int.from_bytes(digest[: CHECKSUM_BITS // 8])


@cache
def _frequencies(lowest: int, highest: int) -> NDArray[np.bool_]:
    """The frequencies of the message: those of the watermark's band that are none of its own, which are even."""
    down, across = rows(REPEAT * highest)[:, None], columns(REPEAT * highest)[None]
    is_own = (down % REPEAT == 0) & (across % REPEAT == 0)
    return np.asarray(ring(REPEAT * lowest, REPEAT * highest) & ~is_own)


@cache
def _codebook(key: bytes, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """The sequences of signs, and for each symbol its own places among the 2 `count` parts of the coefficients.

    The bytes of a hash and not a generator's, whose numbers may differ between versions of NumPy.
    """
    length, choices = 2 * count // SYMBOLS, 1 << SYMBOL_BITS
    stream = hashlib.shake_256(b"lipe watermark message 1\0" + key)
    size = choices * length // 8
    drawn = np.frombuffer(stream.digest(size + 8 * 2 * count), np.uint8)
    sequences = np.unpackbits(drawn[:size]).reshape(choices, length).astype(np.float32) * 2 - 1
    order = np.argsort(drawn[size:].view("<u8"), kind="stable")
    return sequences, order[: SYMBOLS * length].reshape(SYMBOLS, length)
