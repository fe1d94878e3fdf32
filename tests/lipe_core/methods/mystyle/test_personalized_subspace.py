import torch

from lipe_core.methods.mystyle.personalized_subspace import along, dilated, onto_dilated


def inside(alpha: torch.Tensor, beta: float) -> bool:
    return bool(torch.allclose(alpha.sum(dim=-1), torch.ones(len(alpha)), atol=1e-5) and (alpha >= -beta - 1e-6).all())


def test_any_numbers_lie_inside_the_dilated_hull() -> None:
    torch.manual_seed(0)
    for beta in (0.0, 0.02, 0.5):
        free = 20 * torch.randn(50, 4)
        assert inside(dilated(free, beta), beta)
        assert inside(onto_dilated(free, beta), beta)
    torch.testing.assert_close(dilated(torch.zeros(1, 4), 0.3), torch.full((1, 4), 0.25))


def test_what_is_inside_stays_and_the_nearest_is_nearest() -> None:
    torch.manual_seed(0)
    within = dilated(torch.randn(20, 5), 0.1)
    torch.testing.assert_close(onto_dilated(within, 0.1), within)
    outside = 3 * torch.randn(20, 5)
    nearest = (onto_dilated(outside, 0.1) - outside).square().sum(dim=1)
    for _ in range(200):
        others = (dilated(3 * torch.randn(20, 5), 0.1) - outside).square().sum(dim=1)
        assert (nearest <= others + 1e-5).all()


def test_a_direction_keeps_its_part_in_the_anchors_space_and_a_repeated_anchor_adds_none() -> None:
    torch.manual_seed(0)
    anchors = torch.randn(3, 8)
    anchors = torch.cat([anchors, anchors[:1]])
    within = anchors[1] - anchors[2]
    change = along(within, anchors)
    torch.testing.assert_close(change @ anchors, within[None], atol=1e-4, rtol=1e-4)
    assert change.sum().abs() < 1e-5
    across = torch.linalg.svd(anchors[1:] - anchors[0]).Vh[-1]
    torch.testing.assert_close(along(within + across, anchors) @ anchors, within[None], atol=1e-4, rtol=1e-4)
