"""Tensor types by shape, with contents and range.

Equal letters mean equal sizes within one call; only pytest checks them. `b` is rows of a batch, `c` latent channels
(4 in SDXL), `h w` latent rows and columns, `H W` pixels, `n` tokens, `d` and `p` feature widths.
"""

from jaxtyping import Float, Int
from torch import Tensor

Pixels = Float[Tensor, "b 3 H W"]
"""RGB in [-1, 1]."""

Latents = Float[Tensor, "b c h w"]
"""The VAE's mean, normalized with the checkpoint's scaling factor to about unit variance."""

ImageLatents = Float[Tensor, "1 c _ _"]
"""`Latents` of one image, which may have another size than others in the same call."""

Mask = Float[Tensor, "b 1 h w"]
"""In [0, 1] over latents: 1 = may change, 0 = the source stays."""

AttentionMap = Float[Tensor, "b 1 q_h q_w"]
"""In [0, 1], at the resolution of the recorded attention level: the latents' or a coarser one."""

PixelMask = Float[Tensor, "b 1 H W"]
"""A `Mask` over pixels."""

Timesteps = Int[Tensor, "k"]
"""A grid of timesteps, ascending; 0 = clean, larger = noisier."""

PerRow = Float[Tensor, "b"]
"""One number for each row of a batch."""

RowTimesteps = Int[Tensor, "b"]
"""One timestep for each row of a batch."""

RowIndices = Int[Tensor, "k"]
"""Indices of the rows to select."""

Features = Float[Tensor, "n d"]
"""One feature vector per row."""

Size = tuple[int, int]
"""(height, width) in pixels."""
