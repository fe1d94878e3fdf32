import pytest
import torch

from lipe_core.methods.mystyle.personalized_subspace import dilated, onto_dilated, personal_direction, projected


def inside(alpha: torch.Tensor, beta: float) -> bool:
    return bool(torch.allclose(alpha.sum(dim=-1), torch.ones(len(alpha)), atol=1e-5) and (alpha >= -beta - 1e-6).all())


def test_any_numbers_map_into_the_dilated_hull() -> None:
    torch.manual_seed(0)
    for beta in (0.0, 0.02, 0.5):
        free = 20 * torch.randn(50, 4)
        assert inside(dilated(free, beta), beta)
        assert inside(onto_dilated(free, beta), beta)
    torch.testing.assert_close(dilated(torch.zeros(1, 4), 0.3), torch.full((1, 4), 0.25))


def test_points_inside_stay_and_the_projection_is_the_nearest_point() -> None:
    torch.manual_seed(0)
    within = dilated(torch.randn(20, 5), 0.1)
    torch.testing.assert_close(onto_dilated(within, 0.1), within)
    outside = 3 * torch.randn(20, 5)
    nearest = (onto_dilated(outside, 0.1) - outside).square().sum(dim=1)
    for _ in range(200):
        others = (dilated(3 * torch.randn(20, 5), 0.1) - outside).square().sum(dim=1)
        assert (nearest <= others + 1e-5).all()


def test_a_direction_is_projected_onto_the_anchors_space_and_a_repeated_anchor_adds_nothing() -> None:
    torch.manual_seed(0)
    anchors = torch.randn(3, 8)
    anchors = torch.cat([anchors, anchors[:1]])
    within = anchors[1] - anchors[2]
    change = projected(within, anchors)
    torch.testing.assert_close(change @ anchors, within[None], atol=1e-4, rtol=1e-4)
    assert change.sum().abs() < 1e-5
    across = torch.linalg.svd(anchors[1:] - anchors[0]).Vh[-1]
    torch.testing.assert_close(projected(within + across, anchors) @ anchors, within[None], atol=1e-4, rtol=1e-4)


def test_a_personal_direction_has_the_full_length_along_the_direction() -> None:
    anchors, direction = torch.randn(4, 8), torch.randn(8)
    change = personal_direction(direction, anchors)
    assert (change @ anchors @ direction).item() == pytest.approx(direction.square().sum().item(), rel=1e-3)
    assert change.sum().abs() < 1e-4
    same = torch.ones(3, 8)
    assert torch.equal(personal_direction(direction, same), torch.zeros(1, 3))
