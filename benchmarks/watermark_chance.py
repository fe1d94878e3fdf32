"""A bound on the false alarms of the watermark: ``python -m benchmarks.watermark_chance``.

A score is sqrt(2 / n) times the sum of the cosines of n angles: each is a phase of the image minus one of the key. The
key's phases are independent and uniform. So the angles are, too, in every unmarked image and at every place, over
random keys. The tail of that sum is known (Lugannani and Rice 1980, "Saddle point approximation for the distribution of
the sum of independent random variables"). The sum over all places that detection may try bounds the probability that
one of them has the score.
"""

from math import erfc, exp, log, pi, sqrt

import numpy as np

from provenance import watermark
from provenance.watermark_message import CHECKSUM_BITS
from provenance.watermark_signal import ring

FINE_STEPS = 9
WINDOWS = 1 + (watermark.BLOCKS - 1) ** 2 + watermark.BLOCKS**2


def main() -> None:
    """Print the bounds of both thresholds and of the message, and their sum."""
    bounds = {
        f"score {watermark.THRESHOLD} at any place": anywhere(watermark.THRESHOLD),
        f"score {watermark.PLACED_THRESHOLD} at the place of an image that was not cropped": WINDOWS
        * tail(watermark.PLACED_THRESHOLD),
        "a right checksum of a message": 0.5**CHECKSUM_BITS,
    }
    for name, bound in {**bounds, "any of these": sum(bounds.values())}.items():
        print(f"{name}: at most {bound:.1e}, 1 in {1 / bound:,.0f} unmarked images")


def anywhere(threshold: float) -> float:
    """A bound on the probability of this score at any period, shift and window."""
    low, high = map(log, watermark.PERIOD_RANGE)
    periods = len(np.arange(low, high, watermark.PERIOD_STEP)) * FINE_STEPS
    return periods * WINDOWS * watermark.SHIFTS**2 * tail(threshold)


def tail(threshold: float, count: int = int(ring(watermark.LOWEST, watermark.HIGHEST).sum())) -> float:
    """The probability that one score of `count` frequencies reaches the threshold, which is above 0."""
    scale, step = sqrt(2 / count), 1e-4

    def cumulant(tilt: float) -> float:
        return count * log(np.i0(tilt * scale))

    low, high = step, 100.0
    while high - low > 1e-9:  # the tilt at which the mean is the threshold
        tilt = (low + high) / 2
        slope = (cumulant(tilt + step) - cumulant(tilt - step)) / (2 * step)
        low, high = (tilt, high) if slope < threshold else (low, tilt)
    curvature = (cumulant(tilt + step) - 2 * cumulant(tilt) + cumulant(tilt - step)) / step**2
    root, spread = sqrt(2 * (tilt * threshold - cumulant(tilt))), tilt * sqrt(curvature)
    return erfc(root / sqrt(2)) / 2 + exp(-(root**2) / 2) / sqrt(2 * pi) * (1 / spread - 1 / root)


if __name__ == "__main__":
    main()
