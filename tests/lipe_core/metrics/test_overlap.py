import numpy as np
import pytest

from lipe_core.metrics.overlap import iou


def test_known_overlaps() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert iou(a, b) == 1
    a[:2] = True
    assert iou(a, b) == iou(b, a) == 0
    assert iou(a, a) == 1
    b[1:3] = True
    assert iou(a, b) == iou(b, a) == pytest.approx(4 / 12)
