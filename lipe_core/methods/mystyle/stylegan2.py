"""The generator of StyleGAN2, of any size (https://arxiv.org/abs/1912.04958).

z -> mapping -> w, one style vector. Each layer's affine map of w scales its input channels, and demodulation keeps the
deviation of its outputs (section 2.2, equations 1 to 3). The image is the sum of the images of all resolutions, through
skip connections (section 4.1). Weights are drawn from N(0, 1) and scaled at run time (equalised learning rate,
https://arxiv.org/abs/1710.10196, section 4.1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from lipe_core.shapes import Pixels

W = Float[Tensor, "b d"]
"""One style vector for all layers."""

WPlus = Float[Tensor, "b l d"]
"""A style vector for each of the generator's `layers`."""

Maps = Float[Tensor, "b c h w"]

NewMaps = Float[Tensor, "b k i j"]
"""Feature maps of other channels or of another size."""

_SMALLEST = 4
_SLOPE = 0.2
_GAIN = math.sqrt(2)  # gives a leaky ReLU's output the deviation of its input


class InvalidSizes(ValueError):
    """No generator has these sizes; the message says why."""


@dataclass(frozen=True)
class Sizes:
    """`widths` are the channels of each resolution: 4 x 4, 8 x 8, ... up to that of the images."""

    widths: tuple[int, ...]
    z_size: int = 512
    w_size: int = 512
    mapping_layers: int = 8

    def __post_init__(self) -> None:
        numbers = (*self.widths, self.z_size, self.w_size, self.mapping_layers)
        if not all(type(number) is int and 1 <= number <= 4096 for number in numbers):
            raise InvalidSizes(f"widths, sizes and layers must be whole numbers within [1, 4096], got {numbers}")
        if not 1 <= len(self.widths) <= 9 or self.mapping_layers > 32:
            raise InvalidSizes("a generator has 1 to 9 resolutions and at most 32 mapping layers")

    @property
    def resolution(self) -> int:
        """The side of the generated images, in pixels."""
        return int(_SMALLEST * 2 ** (len(self.widths) - 1))

    @property
    def layers(self) -> int:
        """The number of style vectors: one for each convolution and one for the last image.

        The image of a lower resolution shares the style of the convolution that follows it.
        """
        return 2 * len(self.widths)


class Linear(nn.Module):
    """y = x W^T / sqrt(inputs) + b."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.linear(x, self.weight * self.scale, self.bias)
        return y


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by w; with `demodulates`, its outputs get unit deviation.

    Equations 1 and 3 scale the weights for each row. This module scales each row's inputs before, and its outputs
    after, one convolution that all rows share; the result is the same without a grouped convolution. With `up` the
    sides double: a transposed convolution of stride 2, then a blur.
    """

    def __init__(
        self, w_size: int, inputs: int, outputs: int, kernel: int = 3, *, demodulates: bool = True, up: bool = False
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.affine = Linear(w_size, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.demodulates, self.up = demodulates, up

    def forward(self, x: Maps, w: W) -> NewMaps:
        weight, style = self.weight * self.scale, self.affine(w)
        x = x * rearrange(style, "b c -> b c 1 1")
        if self.up:
            flipped = weight.flip(2, 3).transpose(0, 1)
            y = blurred(F.conv_transpose2d(x, flipped, stride=2))
        else:
            y = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if not self.demodulates:
            return y
        energy = style.square() @ weight.square().sum(dim=(2, 3)).T
        scaled: NewMaps = y * rearrange((energy + 1e-8).rsqrt(), "b c -> b c 1 1")
        return scaled


class StyledLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU. The strength of the noise is learned and starts at 0."""

    def __init__(self, w_size: int, inputs: int, outputs: int, up: bool):
        super().__init__()
        self.conv = ModulatedConv(w_size, inputs, outputs, up=up)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Maps, w: W, noise: Tensor | None) -> NewMaps:
        x = self.conv(x, w) + rearrange(self.bias, "c -> c 1 1")
        if noise is not None:
            x = x + self.noise_strength * noise
        return F.leaky_relu(x, _SLOPE) * _GAIN


class ToRGB(nn.Module):
    """A resolution's part of the image: a modulated 1 x 1 convolution without demodulation."""

    def __init__(self, w_size: int, inputs: int):
        super().__init__()
        self.conv = ModulatedConv(w_size, inputs, 3, 1, demodulates=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Maps, w: W) -> NewMaps:
        image: NewMaps = self.conv(x, w) + rearrange(self.bias, "c -> c 1 1")
        return image


class Generator(nn.Module):
    """The whole network. `w_average` is the mean of w over codes; training sets it at its end."""

    w_average: Tensor

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        ends = [sizes.z_size, *[sizes.w_size] * sizes.mapping_layers]
        self.mapping = nn.ModuleList(Linear(one, other) for one, other in pairwise(ends))
        self.start = nn.Parameter(torch.randn(1, sizes.widths[0], _SMALLEST, _SMALLEST))
        self.convs = nn.ModuleList([StyledLayer(sizes.w_size, sizes.widths[0], sizes.widths[0], up=False)])
        for width, next_width in pairwise(sizes.widths):
            self.convs.append(StyledLayer(sizes.w_size, width, next_width, up=True))
            self.convs.append(StyledLayer(sizes.w_size, next_width, next_width, up=False))
        self.to_rgb = nn.ModuleList(ToRGB(sizes.w_size, width) for width in sizes.widths)
        self.register_buffer("w_average", torch.zeros(sizes.w_size))

    def style(self, z: Float[Tensor, "b z"], truncation: float = 1.0) -> W:
        """The mapping network. z is scaled to the length sqrt(z_size); `truncation` below 1 pulls w to the average."""
        x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.mapping:
            x = F.leaky_relu(layer(x), _SLOPE) * _GAIN
        return torch.lerp(self.w_average.expand_as(x), x, truncation)

    def forward(self, w: W | WPlus, noise: Sequence[Tensor] | None = None) -> Pixels:
        """Images of about [-1, 1], not clipped.

        `noise` has one (b or 1, 1, h, w) map for each convolution; without it, w alone decides the image.
        """
        styles = rearrange(w, "b d -> b 1 d").expand(-1, self.sizes.layers, -1) if w.dim() == 2 else w
        x = self.start.expand(len(styles), -1, -1, -1)
        x = self.convs[0](x, styles[:, 0], noise[0] if noise else None)
        image: Tensor = self.to_rgb[0](x, styles[:, 1])
        for level in range(1, len(self.to_rgb)):
            for k in (2 * level - 1, 2 * level):
                x = self.convs[k](x, styles[:, k], noise[k] if noise else None)
            image = upsampled(image) + self.to_rgb[level](x, styles[:, 2 * level + 1])
        return image


def blurred(x: Maps) -> NewMaps:
    """Blur each channel with the kernel [1, 3, 3, 1] x [1, 3, 3, 1] / 16.

    The 2 n + 1 rows and columns of a transposed convolution become 2 n.
    """
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device) / 4
    channels = x.shape[1]
    x = F.conv2d(x, line.expand(channels, 1, 1, 4), padding=(0, 1), groups=channels)
    return F.conv2d(x, rearrange(line, "k -> k 1").expand(channels, 1, 4, 1), padding=(1, 0), groups=channels)


def upsampled(image: Maps) -> NewMaps:
    """Double the sides, without new detail."""
    return F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)
