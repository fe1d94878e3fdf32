"""MyStyle's personalized subspace: the dilated convex hull of a few anchors (https://arxiv.org/abs/2203.17272).

A point is given by generalized barycentric coordinates alpha: they sum to 1, and each is at least -beta. With beta = 0
the subspace is the convex hull itself; a larger beta reaches farther beyond it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Coordinates = Float[Tensor, "l n"]
"""A row for each point, an entry for each of the n anchors."""

Anchors = Float[Tensor, "n d"]

Direction = Float[Tensor, "d"]


def dilated(free: Coordinates, beta: float) -> Coordinates:
    """Map any numbers to coordinates inside the dilated hull; equal numbers give the anchors' mean. Differentiable.

    The authors pull the sum of alpha towards 1 with a penalty. None is needed here: the dilated hull is the simplex
    scaled by 1 + n beta, and a softmax fills the simplex.
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


def projected(direction: Direction, anchors: Anchors) -> Coordinates:
    """Project a direction onto the space that the anchors span: one change of coordinates, which sums to 0."""
    changes = direction @ torch.linalg.pinv(anchors[1:] - anchors[0])
    return torch.cat([-changes.sum()[None], changes])[None]


def personal_direction(direction: Direction, anchors: Anchors) -> Coordinates:
    """The projected direction, scaled so that its part along the original direction has the full length again."""
    change = projected(direction, anchors)
    reached = (change @ anchors).square().sum()
    return change * (direction.square().sum() / reached) if reached > 0 else change
