"""The measures of identity: what they compare, on images whose answer is known."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.identity_rates import color_histograms, cosine, margin, nearness, product, statistics


def test_histograms_count_the_colors_inside_the_silhouette_alone() -> None:
    silhouette = torch.zeros(1, 1, 8, 8)
    silhouette[..., :4] = 1
    halves = [Image.new("RGB", (8, 8), "red") for _ in range(3)]
    halves[1].paste("blue", (4, 0, 8, 8))
    halves[2].paste("blue", (0, 0, 4, 8))
    same, outside, inside = color_histograms(halves, silhouette.expand(3, -1, -1, -1)).numpy()
    assert (same @ outside, same @ inside) == (pytest.approx(1), 0)


def test_statistics_are_those_inside_the_silhouette() -> None:
    values = torch.zeros(1, 2, 4, 4)
    values[0, 0, :2], values[0, 0, 2:] = 3.0, 100.0
    silhouette = torch.zeros(1, 1, 8, 8)
    silhouette[..., :4, :] = 1
    torch.testing.assert_close(statistics(values, silhouette), torch.tensor([[3.0, 0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("similarity", [product, cosine, nearness])
def test_a_margin_is_relative_to_the_reference_that_is_least_like_the_others(similarity) -> None:
    references = np.array([[1.0, 0.0], [1.0, 0.0], [0.8, 0.6]])
    least = similarity(references[2:], references[:2]).mean()
    alike, unlike = margin(references, np.array([[1.0, 0.0], [0.0, 1.0]]), similarity)
    assert alike == pytest.approx(similarity(references[:1], references).mean() - least)
    assert alike > 0 > unlike
