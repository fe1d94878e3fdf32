"""The bound on false alarms agrees with simulated scores, and the thresholds keep to it."""

import numpy as np
import pytest

from benchmarks.watermark_chance import WINDOWS, anywhere, tail
from provenance.watermark import PLACED_THRESHOLD, THRESHOLD
from provenance.watermark_message import CHECKSUM_BITS


@pytest.mark.parametrize(("threshold", "count"), [(1.0, 122), (2.5, 122), (2.5, 8)])
def test_the_tail_is_that_of_simulated_scores(threshold: float, count: int) -> None:
    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, (100_000, count)).astype(np.float32)
    share = float((np.sqrt(2 / count) * np.cos(angles).sum(axis=1) >= threshold).mean())
    assert tail(threshold, count) == pytest.approx(share, rel=0.1)


def test_neither_threshold_is_more_often_reached_by_chance_than_a_checksum_is_right() -> None:
    checksum = 0.5**CHECKSUM_BITS
    assert anywhere(THRESHOLD) < 1.1 * checksum
    assert WINDOWS * tail(PLACED_THRESHOLD) < checksum
