"""The tensors of the method by shape; what they hold and in which range.

The letters are checked against each other inside one call, and only under pytest: `b` rows of a batch, `c`
latent channels (4 in SDXL), `h w` latent rows and columns, `H W` pixels, `n` tokens, `d` and `p` widths.
"""

from jaxtyping import Float, Int
from torch import Tensor

Pixels = Float[Tensor, "b 3 H W"]
"""RGB in [-1, 1]."""

Latents = Float[Tensor, "b c h w"]
"""The VAE's mean, normalised as the checkpoint's config says: about unit variance."""

Mask = Float[Tensor, "b 1 h w"]
"""In [0, 1] over latents: 1 = may change, 0 = the source stays."""

AttentionMap = Float[Tensor, "b 1 q_h q_w"]
"""In [0, 1], of the size of the level at which attention is watched: the latents', or a coarser one."""

PixelMask = Float[Tensor, "b 1 H W"]
"""A `Mask` at the picture's own size."""

Timesteps = Int[Tensor, "k"]
"""Ascending; 0 = clean, larger = noisier."""

PerRow = Float[Tensor, "b"]
"""One number for each row of a batch."""

RowTimesteps = Int[Tensor, "b"]
"""One timestep for each row of a batch."""

RowIndices = Int[Tensor, "k"]
"""Which rows to take."""

Features = Float[Tensor, "n d"]
"""One feature vector a row."""

Size = tuple[int, int]
"""(height, width) in pixels."""
