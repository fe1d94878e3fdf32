import numpy as np
import pytest
import torch
from torch import Tensor

from lipe_core.metrics.similarity import (
    directional_similarity,
    image_similarity,
    subject_similarity,
    text_similarity,
)


def features(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, 7, generator=torch.Generator().manual_seed(seed))


def cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.double(), b.double()
    return float((a * b).sum() / (a * a).sum().sqrt() / (b * b).sum().sqrt())


def test_subject_similarity_is_the_mean_over_all_references() -> None:
    crops, references = features(3, 0), features(4, 1)
    expected = [np.mean([cosine(crop, reference) for reference in references]) for crop in crops]
    np.testing.assert_allclose(subject_similarity(crops, references), expected, atol=1e-6)


def test_known_angles() -> None:
    x, y = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.2]])
    assert subject_similarity(x, torch.cat([x, y])).item() == pytest.approx(0.5)
    assert subject_similarity(x, -x).item() == pytest.approx(-1)
    assert image_similarity(x, x + y * 15).item() == pytest.approx(2**-0.5)
    assert text_similarity(x, y).item() == pytest.approx(0)


@pytest.mark.parametrize("score", [image_similarity, text_similarity])
def test_pairs_are_row_by_row(score) -> None:
    a, b = features(3, 2), features(3, 3)
    np.testing.assert_allclose(score(a, b), [cosine(*pair) for pair in zip(a, b, strict=True)], atol=1e-6)
    np.testing.assert_allclose(score(a, a), 1, atol=1e-6)


def test_lengths_of_features_do_not_matter() -> None:
    a, b, c, d = (features(3, seed) for seed in range(4, 8))
    lengths = torch.tensor([[0.1], [1.0], [20.0]])
    torch.testing.assert_close(subject_similarity(a * lengths, b), subject_similarity(a, b * 3))
    torch.testing.assert_close(image_similarity(a * lengths, b), image_similarity(a, b * lengths))
    torch.testing.assert_close(
        directional_similarity(a * lengths, b, c * 9, d * lengths), directional_similarity(a, b, c, d)
    )


def test_direction_is_of_normalized_differences() -> None:
    rows = [features(5, seed) for seed in range(4)]
    edited, source, target, origin = (row.double() / row.double().norm(dim=-1, keepdim=True) for row in rows)
    expected = [cosine(i, t) for i, t in zip(edited - source, target - origin, strict=True)]
    np.testing.assert_allclose(directional_similarity(*rows), expected, atol=1e-6)


def test_an_edit_along_the_text_scores_one_and_against_it_minus_one() -> None:
    source, target = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert directional_similarity(target, source, target, source).item() == pytest.approx(1)
    assert directional_similarity(source, target, target, source).item() == pytest.approx(-1)
    across = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[-1.0, 0.0, 0.0]])
    assert directional_similarity(*across, torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, -1.0, 0.0]])) == 0


def test_a_copy_of_the_source_has_direction_zero_even_with_rounding() -> None:
    source, target, origin = features(50, 0), features(50, 1), features(50, 2)
    assert directional_similarity(source, source, target, origin).abs().max() == 0
    rounded = source * (1 + 1e-7 * features(50, 3))
    assert directional_similarity(rounded, source, target, origin).abs().max() == 0
    assert directional_similarity(source + 0.01 * target, source, target, target).abs().max() == 0
    assert directional_similarity(source + 0.01 * target, source, target, origin).abs().min() > 0
