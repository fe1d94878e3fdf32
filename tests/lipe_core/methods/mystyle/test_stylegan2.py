"""The layers against the paper's equations, written out."""

import pytest
import torch
import torch.nn.functional as F

from lipe_core.methods.mystyle.stylegan2 import (
    Generator,
    InvalidSizes,
    Linear,
    ModulatedConv,
    Sizes,
    StyledLayer,
    upsampled,
)
from tests.support.toy_faces import SIZES, toy_faces


def by_the_equations(conv: ModulatedConv, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Equations 1 and 3, row by row, which scale the weights, not the feature maps."""
    rows = []
    for one, style in zip(x, conv.affine(w), strict=True):
        weight = conv.weight * conv.scale * style[None, :, None, None]
        if conv.demodulates:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if conv.up:
            spread = torch.zeros(one.shape[0], 2 * one.shape[1], 2 * one.shape[2])
            spread[:, ::2, ::2] = one
            line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
            kernel = torch.outer(line, line).expand(one.shape[0], 1, 4, 4)
            spread = F.conv2d(F.pad(spread, (4, 4, 4, 4)), kernel, groups=one.shape[0])
            # blurring before the convolution or after it gives the same interior; the borders differ
            row = F.conv2d(spread[None], weight)[0]
            rows.append(row[:, 1 : 1 + 2 * one.shape[1], 1 : 1 + 2 * one.shape[2]])
        else:
            rows.append(F.conv2d(one[None], weight, padding=weight.shape[-1] // 2)[0])
    return torch.stack(rows)


@pytest.mark.parametrize("demodulates", [True, False])
@pytest.mark.parametrize("up", [True, False])
def test_scaling_maps_is_scaling_weights(up: bool, demodulates: bool) -> None:
    torch.manual_seed(0)
    conv = ModulatedConv(5, 3, 4, demodulates=demodulates, up=up)
    x, w = torch.randn(2, 3, 6, 6), torch.randn(2, 5)
    ours, expected = conv(x, w), by_the_equations(conv, x, w)
    assert ours.shape == expected.shape == (2, 4, *([12, 12] if up else [6, 6]))
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(ours[inner], expected[inner], rtol=1e-4, atol=1e-4)


def test_demodulated_outputs_have_unit_deviation_for_any_style() -> None:
    torch.manual_seed(0)
    conv = ModulatedConv(5, 64, 32)
    for scale in (0.1, 10.0):
        output = conv(torch.randn(4, 64, 32, 32), scale * torch.randn(4, 5)).detach()
        assert output.std() == pytest.approx(1, abs=0.1)


def test_every_resolution_doubles_and_each_layer_has_its_style() -> None:
    generator = toy_faces().network
    w = generator.style(torch.randn(2, SIZES.z_size))
    assert SIZES.resolution == 16
    images = generator(w)
    assert images.shape == (2, 3, 16, 16)
    styles = w[:, None].repeat(1, SIZES.layers, 1)
    torch.testing.assert_close(generator(styles), images)
    for layer in range(SIZES.layers):
        other = styles.clone()
        other[:, layer] += 1
        assert (generator(other) - images).abs().max() > 1e-4, layer


def test_w_alone_decides_the_image_until_noise_has_a_strength() -> None:
    generator = toy_faces().network
    w = generator.w_average[None]
    sides = (4, 8, 8, 16, 16)
    noise = [torch.randn(1, 1, side, side) for side in sides]
    assert torch.equal(generator(w), generator(w))
    assert torch.equal(generator(w, noise), generator(w))  # its strength starts at 0
    for layer in generator.convs:
        assert isinstance(layer, StyledLayer)
        layer.noise_strength.fill_(0.5)
    assert (generator(w, noise) - generator(w)).abs().max() > 0.1


def test_truncation_pulls_w_to_the_average_and_the_length_of_z_is_ignored() -> None:
    generator = toy_faces().network
    z = torch.randn(3, SIZES.z_size)
    torch.testing.assert_close(generator.style(z), generator.style(7 * z))
    torch.testing.assert_close(generator.style(z, truncation=0.0), generator.w_average.expand(3, -1))
    halfway = generator.style(z, truncation=0.5)
    torch.testing.assert_close(halfway, (generator.style(z) + generator.w_average) / 2)


def test_upsampling_is_the_papers_blur() -> None:
    x = torch.randn(1, 3, 6, 6)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    spread = torch.zeros(1, 3, 12, 12)
    spread[..., ::2, ::2] = x
    blur = F.conv2d(F.pad(spread, (2, 1, 2, 1)), torch.outer(line, line).expand(3, 1, 4, 4), groups=3)
    torch.testing.assert_close(upsampled(x)[..., 2:-2, 2:-2], blur[..., 2:-2, 2:-2])


def test_a_linear_layer_keeps_the_deviation() -> None:
    torch.manual_seed(0)
    assert Linear(512, 512)(torch.randn(64, 512)).detach().std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "wrong",
    [
        {"widths": ()},
        {"widths": (8,) * 10},
        {"widths": (0,)},
        {"w_size": 5000},
        {"mapping_layers": 33},
        {"z_size": True},
    ],
)
def test_invalid_sizes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidSizes):
        Sizes(**{"widths": (8, 8), **wrong})  # type: ignore[arg-type]


def test_a_generator_may_have_one_resolution() -> None:
    generator = Generator(Sizes(widths=(4,), z_size=2, w_size=3, mapping_layers=1))
    assert generator(torch.zeros(1, 3)).shape == (1, 3, 4, 4)
