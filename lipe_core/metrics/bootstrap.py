"""Confidence intervals of means by the percentile bootstrap.

Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float] | npt.NDArray[np.floating], *, seed: int = 0, resamples: int = 10_000, level: float = 0.95
) -> Interval:
    """The mean with its confidence interval of this `level`, reproducible by `seed`.

    Values must be independent: with several edits per subject, give one value per subject. Raises ValueError without
    values, for values that are not finite, and for a level outside (0, 1).
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError("a mean needs a plain list of at least one finite value")
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"the level must lie between 0 and 1 and resamples be at least 1, got {level} and {resamples}")
    draw = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // len(sample))  # limits memory; the draws are the same for any split
    means = np.concatenate(
        [
            sample[draw.integers(0, len(sample), (min(rows, resamples - start), len(sample)))].mean(axis=1)
            for start in range(0, resamples, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high))
