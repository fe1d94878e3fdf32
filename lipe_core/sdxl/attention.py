"""Recording of attention maps without changing the network's output.

The fused attention still computes the outputs. At one level of the network, queries and keys are kept, and the
probabilities are computed a second time from them. Of cross-attention, only the sums over the wanted tokens are kept.

Identity-aware maps as in LIPE, figure 4 (https://arxiv.org/abs/2406.17236); propagation along self-attention as in
https://arxiv.org/abs/2309.02773.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from lipe_core.backbone import Tokens, Visit, subject_share
from lipe_core.shapes import AttentionMap

_MOST_LOGITS = 2**25
"""Most attention logits that exist at once, 134 MB in float32, unless one layer has more."""

Processor = Callable[..., Tensor]
"""diffusers' attention processor: (attention layer, hidden states, encoder hidden states, ...) -> hidden states."""


@contextmanager
def use_processors(unet: Any, replace: Callable[[str, Processor], Processor]) -> Iterator[None]:
    """Set `replace(layer name, processor)` in every attention layer; restores the processors on exit."""
    before = dict(unet.attn_processors)
    unet.set_attn_processor({name: replace(name, old) for name, old in before.items()})
    try:
        yield
    finally:
        unet.set_attn_processor(dict(before))


@dataclass(frozen=True)
class RecordedLayers:
    """The layers of one level of the network whose attention is recorded. `size` is the level's (rows, columns)."""

    size: tuple[int, int]
    cross: tuple[str, ...]
    own: tuple[str, ...]

    @classmethod
    def of(cls, unet: Any, latent_size: tuple[int, int], attention_tokens: int, refine: int) -> "RecordedLayers":
        """The layers that `record_attention` records."""
        level = _level(unet, latent_size, attention_tokens)
        names = [name for name in unet.attn_processors if _layer_level(unet, name) == level]
        last = _last_of_each_stack(unet) if refine else set()
        cross = tuple(name for name in names if _is_cross(name))
        return cls(_size(latent_size, level), cross, tuple(name for name in names if name in last))


@dataclass(frozen=True)
class QueriesAndKeys:
    """Queries and keys of the recorded layers in the first call of the network since the last `pop`, by name.

    Maps are made from them in `pop`, for many layers at once: one by one, they double the operations of a call.
    """

    unet: Any
    layers: RecordedLayers
    tokens: Tokens
    refine: int
    queries: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, Tensor] = field(default_factory=dict)

    def pop(self) -> AttentionMap:
        """Return the wanted tokens' share of the attention to content since the last pop, and empty the store.

        The attention is averaged over heads and summed over layers. Raises RuntimeError if nothing was recorded.
        """
        if not self.queries:
            raise RuntimeError("nothing was recorded: the network has not run since the last pop")
        columns = torch.stack([self.tokens.wanted, self.tokens.content], dim=-1)
        masses = [mass @ columns.to(mass) for mass in self._probabilities(self.layers.cross)]
        own = [mass.sum(dim=0) for mass in self._probabilities(self.layers.own)]
        affinity = torch.stack(own).sum(dim=0) if own else None
        self.queries.clear()
        self.keys.clear()
        wanted, content = torch.cat(masses).sum(dim=0).unbind(dim=-1)
        return subject_share(wanted, content, affinity, self.refine, self.layers.size)

    def _probabilities(self, names: Sequence[str]) -> Iterator[Float[Tensor, "layers b q k"]]:
        """The attention probabilities of the recorded rows, averaged over heads, for some layers at a time."""
        if not names:
            return
        attn = self.unet.get_submodule(names[0].removesuffix(".processor"))
        rows, queries = len(self.tokens.wanted), math.prod(self.layers.size)
        # A processor may add keys of other images behind the image's own.
        keys = self.keys if names == self.layers.cross else {name: self.keys[name][:, :queries] for name in names}
        at_once = max(1, _MOST_LOGITS // (rows * attn.heads * queries * keys[names[0]].shape[1]))
        for start in range(0, len(names), at_once):
            part = names[start : start + at_once]
            q, k = (torch.stack([kept[name] for name in part])[:, -rows:] for kept in (self.queries, keys))
            yield _head_mean(attn, q, k)


@contextmanager
def record_attention(
    unet: Any, tokens: Tokens, *, latent_size: tuple[int, int], attention_tokens: int = 256, refine: int = 0
) -> Iterator[QueriesAndKeys]:
    """Record the attention to the wanted tokens inside; yields the store.

    A batch's last rows are recorded, because rows always are [uncond, cond]. The level is the coarsest one with
    cross-attention that has at least `attention_tokens` queries (SDXL at 1024 pixels: 32 x 32), or the finest if none
    has. Of self-attention, the last layer of each stack is recorded (SDXL: 6 of 60): the maps of one stack are much the
    same, and all of them cost a fifth of an edit.
    """
    layers = RecordedLayers.of(unet, latent_size, attention_tokens, refine)
    store = QueriesAndKeys(unet, layers, tokens.to(unet.device), refine)
    with ExitStack() as hooks:
        for name in (*layers.cross, *layers.own):
            attn = unet.get_submodule(name.removesuffix(".processor"))
            for projection, kept in ((attn.to_q, store.queries), (attn.to_k, store.keys)):
                hooks.callback(projection.register_forward_hook(partial(_keep_first, kept, name)).remove)
        yield store


def _keep_first(kept: dict[str, Tensor], name: str, module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
    kept.setdefault(name, output)


def _head_mean(
    attn: Any, queries: Float[Tensor, "layers b q c"], keys: Float[Tensor, "layers b k c"]
) -> Float[Tensor, "layers b q k"]:
    """The attention probabilities, averaged over heads, float32."""
    q = rearrange(queries * attn.scale, "layers b q (head d) -> layers b head q d", head=attn.heads)
    k = rearrange(keys, "layers b k (head d) -> layers b head d k", head=attn.heads)
    return torch.matmul(q, k).float().softmax(dim=-1).mean(dim=2)


def _is_cross(name: str) -> bool:
    return ".attn2." in name


def _last_of_each_stack(unet: Any) -> set[str]:
    """The names of the last self-attention layer of each transformer."""
    stacks = {name.partition(".transformer_blocks.")[0]: name for name in unet.attn_processors if not _is_cross(name)}
    return set(stacks.values())


def _layer_level(unet: Any, name: str) -> int:
    """The number of halvings of the latents before this layer."""
    block, index, *_ = name.split(".")
    last = len(unet.down_blocks) - 1
    if block == "down_blocks":
        return int(index)
    return last - int(index) if block == "up_blocks" else last


def _size(latent_size: tuple[int, int], level: int) -> tuple[int, int]:
    """Rows and columns after `level` halvings; a strided convolution rounds up."""
    return -(-latent_size[0] // 2**level), -(-latent_size[1] // 2**level)


def _level(unet: Any, latent_size: tuple[int, int], attention_tokens: int) -> int:
    levels = sorted({_layer_level(unet, name) for name in unet.attn_processors if _is_cross(name)})
    enough = [n for n in levels if math.prod(_size(latent_size, n)) >= attention_tokens]
    return max(enough, default=levels[0])


def self_attention_layers(unet: Any) -> list[str]:
    """Names of the self-attention layers in order of execution: down, middle, up. diffusers lists the middle last."""
    order = ("down_blocks", "mid_block", "up_blocks")
    names = [name for name in unet.attn_processors if ".attn1." in name]
    return sorted(names, key=lambda name: order.index(name.split(".")[0]))


@contextmanager
def visited_attention(unet: Any, share: float, visit: Visit) -> Iterator[None]:
    """Call `visit` in the self-attention layers that follow the first `share` of them, in the order of execution."""
    names = self_attention_layers(unet)
    late = set(names[round(share * len(names)) :])
    with use_processors(unet, lambda name, old: _visited(visit, name, old) if name in late else old):
        yield


def _visited(visit: Visit, name: str, inner: Processor) -> Processor:
    def attend(attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        more = visit(name, hidden_states)
        if more is None:
            return inner(attn, hidden_states, *args, **kwargs)
        return inner(attn, hidden_states, torch.cat([hidden_states, more], dim=1))

    return attend
