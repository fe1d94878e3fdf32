"""The words whose attention is recorded, and the maps that follow from recorded attention.

Identity-aware maps as in LIPE, figure 4 (https://arxiv.org/abs/2406.17236); propagation along self-attention as in
https://arxiv.org/abs/2309.02773.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from lipe_core.shapes import AttentionMap

Visit = Callable[[str, Tensor], Tensor | None]
"""Called with a layer's name and the hidden states "b n d" of the image, from which the layer makes keys and values.
Returns the hidden states of another image, "b m d", whose keys and values the image reads too, or None."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of each prompt whose attention is recorded (`wanted`), and all tokens of words (`content`).

    Start, end, padding and the words of a chat template are not content. They absorb most of the attention and would
    hide the rest.
    """

    wanted: Bool[Tensor, "b n"]
    content: Bool[Tensor, "b n"]

    @classmethod
    def of(cls, wanted: Sequence[Sequence[int]], content: Sequence[Sequence[int]], length: int) -> "Tokens":
        """From the positions of the wanted and of the content tokens of each row."""

        def marked(rows: Sequence[Sequence[int]]) -> Tensor:
            at = torch.arange(length)
            return torch.stack([torch.isin(at, torch.tensor(list(row))) for row in rows])

        return cls(marked(wanted), marked(content))

    def to(self, device: torch.device) -> "Tokens":
        """The same tokens on this device."""
        return Tokens(self.wanted.to(device), self.content.to(device))


class AttentionStore(Protocol):
    """The recording of the network's first call since the last `pop`."""

    def pop(self) -> AttentionMap:
        """Return the wanted tokens' share of the attention to content since the last pop, and empty the store.

        Raises RuntimeError if nothing was recorded.
        """


def subject_share(
    wanted: Float[Tensor, "b q"],
    content: Float[Tensor, "b q"],
    affinity: Float[Tensor, "b q q"] | None,
    refine: int,
    size: tuple[int, int],
) -> AttentionMap:
    """The share of the attention to `content` that goes to the wanted tokens, over `size` (rows, columns).

    With `refine` = k it is propagated k times along self-attention, A^k map: positions that attend to the subject
    become part of it.
    """
    share = wanted / content
    if affinity is not None:
        transition = affinity / affinity.sum(dim=-1, keepdim=True)
        for _ in range(refine):
            share = einsum(transition, share, "b q k, b k -> b q")
    return rearrange(share, "b (h w) -> b 1 h w", h=size[0])
