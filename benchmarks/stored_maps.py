"""NIMA's attention the way that public prompt-to-prompt code watches it: every map is made in full, and kept.

Prompt-to-Prompt, https://arxiv.org/abs/2208.01626. Takes the place of `lipe_core.sdxl.attention.record_attention` and
finds the same maps; what differs is the cost. Where LIPE leaves the fused attention in charge, here a layer's
probabilities are a tensor of heads x queries x keys, those of the step are stored, and summed over the steps.
"""

from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from einops import rearrange
from torch import Tensor

from lipe_core.sdxl import AttentionStore, Processor, Recorder, Tokens, record_attention, use_processors
from lipe_core.shapes import Mask

_STORED_QUERIES = 32**2  # the public code's limit: larger maps are made, but not kept


@dataclass
class MapStore:
    """Each layer's maps (rows, heads, queries, keys) of the present step, and their sum over all steps."""

    reading: AttentionStore
    tokens: Tokens
    read: Set[str]
    step: dict[str, Tensor] = field(default_factory=dict)
    total: dict[str, Tensor] = field(default_factory=dict)

    @property
    def paused(self) -> Any:
        """As `AttentionStore.paused`."""
        return self.reading.paused

    def keep(self, name: str, maps: Tensor) -> None:
        """Store one layer's maps of the batch's last rows."""
        if not self.reading.is_paused and maps.shape[2] <= _STORED_QUERIES:
            self.step[name] = maps[-len(self.tokens.wanted) :]

    def pop(self) -> Mask:
        """What `AttentionStore.pop` gives, read from the stored maps."""
        for name, maps in self.step.items():
            self.total[name] = self.total[name] + maps if name in self.total else maps
            if name not in self.read:
                continue
            if ".attn2." in name:
                self.reading.add_cross(maps.mean(dim=1).float(), self.tokens)
            else:
                self.reading.add_self(maps.mean(dim=1).float())
        self.step = {}
        return self.reading.pop()


@dataclass(frozen=True)
class Explicit:
    """A processor that multiplies values by the probabilities it has made, and shows these to `keep`."""

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
        answer = attn.batch_to_head_dim(maps @ attn.head_to_batch_dim(attn.to_v(context)))
        for layer in attn.to_out:
            answer = layer(answer)
        return answer  # type: ignore[no-any-return]


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
    """As `record_attention`, by the maps of all layers; `cross_only` leaves self-attention fused where nothing
    reads it."""
    with record_attention(
        unet, tokens, latent_size=latent_size, attention_tokens=attention_tokens, refine=refine
    ) as reading:
        read = {name for name, processor in unet.attn_processors.items() if isinstance(processor, Recorder)}
        store = MapStore(reading, tokens.to(unet.device), read)

        def replace(name: str, old: Processor) -> Processor:
            is_read = ".attn2." in name or name in read
            return Explicit(partial(store.keep, name)) if is_read or not cross_only else old

        with use_processors(unet, replace):
            yield store
