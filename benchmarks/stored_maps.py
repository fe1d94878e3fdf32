"""Record attention as public prompt-to-prompt code does: compute every map in full, and store it.

Prompt-to-Prompt, https://arxiv.org/abs/2208.01626. `store_maps` replaces `lipe_core.sdxl.record_attention`. It gives
the same maps at another cost: LIPE keeps fused attention, and here the probabilities of a layer are a tensor of
heads x queries x keys. It is stored for each step and summed over the steps.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from einops import einsum, rearrange
from torch import Tensor

from lipe_core.sdxl import Processor, RecordedLayers, Tokens, subject_share, use_processors
from lipe_core.shapes import Mask

_STORED_QUERIES = 32**2  # limit of the public code: larger maps are computed, but not stored


@dataclass
class MapStore:
    """The maps (rows, heads, queries, keys) of each layer at the current step, and their sum over all steps."""

    layers: RecordedLayers
    tokens: Tokens
    refine: int
    step: dict[str, Tensor] = field(default_factory=dict)
    total: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, name: str, maps: Tensor) -> None:
        """Store the maps of one layer for the last rows of the batch."""
        if maps.shape[2] <= _STORED_QUERIES:
            self.step[name] = maps[-len(self.tokens.wanted) :]

    def pop(self) -> Mask:
        """Same as `QueriesAndKeys.pop`, from the stored maps."""
        for name, maps in self.step.items():
            self.total[name] = self.total[name] + maps if name in self.total else maps
        masses = {name: maps.mean(dim=1).float() for name, maps in self.step.items()}
        self.step = {}
        cross = torch.stack([masses[name] for name in self.layers.cross]).sum(dim=0)
        wanted, content = (
            einsum(cross, words.to(cross), "b q n, b n -> b q") for words in (self.tokens.wanted, self.tokens.content)
        )
        own = [masses[name] for name in self.layers.own]
        affinity = torch.stack(own).sum(dim=0) if own else None
        return subject_share(wanted, content, affinity, self.refine, self.layers.size)


@dataclass(frozen=True)
class UnfusedAttention:
    """An attention processor that computes all probabilities and passes them to `keep`."""

    keep: Callable[[Tensor], None]

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key = (attn.head_to_batch_dim(each) for each in (attn.to_q(hidden_states), attn.to_k(context)))
        maps = attn.get_attention_scores(query, key, attention_mask)
        self.keep(rearrange(maps, "(b head) q k -> b head q k", head=attn.heads))
        output = attn.batch_to_head_dim(maps @ attn.head_to_batch_dim(attn.to_v(context)))
        for layer in attn.to_out:
            output = layer(output)
        return output  # type: ignore[no-any-return]


@contextmanager
def store_maps(
    unet: Any,
    tokens: Tokens,
    *,
    latent_size: tuple[int, int],
    attention_tokens: int = 256,
    refine: int = 0,
    cross_only: bool = False,
) -> Iterator[MapStore]:
    """Same as `record_attention`, from the stored maps of all layers.

    With `cross_only`, self-attention layers that are not recorded stay fused.
    """
    layers = RecordedLayers.of(unet, latent_size, attention_tokens, refine)
    store = MapStore(layers, tokens.to(unet.device), refine)

    def replace(name: str, old: Processor) -> Processor:
        is_needed = ".attn2." in name or name in layers.own
        return UnfusedAttention(partial(store.keep, name)) if is_needed or not cross_only else old

    with use_processors(unet, replace):
        yield store
