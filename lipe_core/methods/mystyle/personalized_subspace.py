"""The dilated convex hull of a few points, in generalised barycentric coordinates: MyStyle's personalised subspace
(https://arxiv.org/abs/2203.17272).

A point is alpha: it sums to 1, and each entry is at least -beta. With beta = 0 that is the convex hull itself; the
larger beta, the farther beyond it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Coordinates = Float[Tensor, "l n"]
"""A row for each point, an entry for each of the n anchors."""

Anchors = Float[Tensor, "n d"]

Direction = Float[Tensor, "d"]


def dilated(free: Coordinates, beta: float) -> Coordinates:
    """Coordinates inside the dilated hull of any numbers; equal numbers give the anchors' mean. Gradients flow.

    Where the authors pull alpha towards a sum of 1 with a penalty, none is needed here: the dilated hull is the
    simplex stretched by 1 + n beta, which a softmax fills.
    """
    return (1 + free.shape[-1] * beta) * free.softmax(dim=-1) - beta


def onto_dilated(alpha: Coordinates, beta: float) -> Coordinates:
    """The nearest coordinates inside the dilated hull: the projection onto a simplex (Duchi et al. 2008, figure 1)."""
    size = 1 + alpha.shape[-1] * beta
    shifted = alpha + beta
    ranked = shifted.sort(dim=-1, descending=True).values
    excess = ranked.cumsum(dim=-1) - size
    counts = torch.arange(1, alpha.shape[-1] + 1, device=alpha.device)
    last = (ranked * counts > excess).sum(dim=-1, keepdim=True)
    level = excess.gather(-1, last - 1) / last
    return (shifted - level).clamp(min=0) - beta


def along(direction: Direction, anchors: Anchors) -> Coordinates:
    """The direction, projected onto the space that the anchors span, as one change of coordinates, which sums to 0:
    what of an edit is personal."""
    changes = direction @ torch.linalg.pinv(anchors[1:] - anchors[0])
    return torch.cat([-changes.sum()[None], changes])[None]
