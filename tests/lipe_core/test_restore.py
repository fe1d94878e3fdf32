"""The background comes back, the subject stays. A decoder of nearest pixels."""

import torch
import torch.nn.functional as F

from lipe_core.restore import restore_background
from lipe_core.shapes import Latents, Pixels

SIDE = 4
STEPS = 120


def decode(latents: Latents) -> Pixels:
    """Each latent is 2 x 2 pixels: its first three channels above, its last three below."""
    above, below = latents.chunk(2, dim=1)
    rows = torch.stack([above, below], dim=3).flatten(2, 3)
    return F.interpolate(rows, scale_factor=(1.0, 2.0), mode="nearest")


def test_what_lies_outside_the_silhouette_returns_and_the_rest_stays() -> None:
    x_0 = torch.randn(2, 6, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    source = torch.zeros(2, 3, 2 * SIDE, 2 * SIDE)
    silhouettes = torch.zeros(2, 1, 2 * SIDE, 2 * SIDE)
    silhouettes[:, :, 2:5, 2:6] = 1  # its lower edge runs through a row of latents
    goal = torch.where(silhouettes > 0, decode(x_0), source)
    restored = restore_background(decode, x_0, goal, steps=STEPS)

    before, after = decode(x_0), decode(restored)
    returned = (silhouettes == 0).expand_as(after)
    assert after[returned].abs().max() < 0.1
    assert before[returned].abs().mean() > 0.5
    kept = (silhouettes > 0).expand_as(after)
    assert torch.allclose(after[kept], before[kept], atol=1e-4)
    assert not restored.requires_grad


def test_rows_do_not_see_each_other() -> None:
    x_0 = torch.randn(2, 6, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    goal = torch.randn(2, 3, 2 * SIDE, 2 * SIDE, generator=torch.Generator().manual_seed(2))
    both = restore_background(decode, x_0, goal, steps=3)
    alone = restore_background(decode, x_0[1:], goal[1:], steps=3)
    assert torch.equal(both[1:], alone)
