"""Recording of attention maps without changing the network's output.

The fused attention still computes the outputs. At one level of the network, the probabilities are computed a second
time from its queries and keys. Of cross-attention, only the sums over the wanted tokens are kept.

Identity-aware maps as in LIPE, figure 4 (https://arxiv.org/abs/2406.17236); propagation along self-attention as in
https://arxiv.org/abs/2309.02773.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from lipe_core.shapes import AttentionMap

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
class Tokens:
    """The tokens of each prompt whose attention is recorded (`wanted`), and all tokens of words (`content`).

    Start, end and padding are not content: start-of-text absorbs most of the attention and would hide the rest.
    """

    wanted: Bool[Tensor, "b n"]
    content: Bool[Tensor, "b n"]

    @classmethod
    def of(cls, wanted: Sequence[Sequence[int]], content: Sequence[int], length: int) -> "Tokens":
        """From the positions of the wanted tokens and the number of content tokens of each row."""
        at = torch.arange(length)
        return cls(
            torch.stack([torch.isin(at, torch.tensor(list(row))) for row in wanted]),
            torch.stack([(at >= 1) & (at <= count) for count in content]),
        )

    def to(self, device: torch.device) -> "Tokens":
        """The same tokens on this device."""
        return Tokens(self.wanted.to(device), self.content.to(device))


@dataclass
class AttentionStore:
    """Attention, averaged over heads and summed over layers since the last `pop`, at one level of the network.

    `size` is the level's (rows, columns).
    """

    size: tuple[int, int]
    refine: int
    wanted: list[Float[Tensor, "b q"]] = field(default_factory=list)
    content: list[Float[Tensor, "b q"]] = field(default_factory=list)
    affinity: Float[Tensor, "b q q"] | None = None

    def pop(self) -> AttentionMap:
        """Return the wanted tokens' share of the attention to content since the last pop, and empty the store.

        With `refine` = k the map is propagated k times along self-attention, A^k map: positions that attend to the
        subject become part of it. Raises RuntimeError if nothing was recorded.
        """
        if not self.wanted:
            raise RuntimeError("nothing was recorded: the network has not run since the last pop")
        share = torch.stack(self.wanted).sum(dim=0) / torch.stack(self.content).sum(dim=0)
        if self.affinity is not None:
            transition = self.affinity / self.affinity.sum(dim=-1, keepdim=True)
            for _ in range(self.refine):
                share = einsum(transition, share, "b q k, b k -> b q")
        self.wanted, self.content, self.affinity = [], [], None
        return rearrange(share, "b (h w) -> b 1 h w", h=self.size[0])

    def add_cross(self, mass: Float[Tensor, "b q n"], tokens: Tokens) -> None:
        """Add one cross-attention layer's probabilities, averaged over heads."""
        self.wanted.append(einsum(mass, tokens.wanted.to(mass), "b q n, b n -> b q"))
        self.content.append(einsum(mass, tokens.content.to(mass), "b q n, b n -> b q"))

    def add_self(self, mass: Float[Tensor, "b q q"]) -> None:
        """Add one self-attention layer's probabilities, averaged over heads."""
        self.affinity = mass if self.affinity is None else self.affinity + mass


@dataclass(frozen=True)
class Recorder:
    """A processor that returns the output of `inner` and passes the attention of the selected rows to `record`.

    It takes queries and keys from hooks while `inner` runs, so that their projections run once.
    """

    inner: Processor
    rows: slice
    store: AttentionStore
    record: Callable[[Float[Tensor, "b q k"]], None]

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        with _output(attn.to_q) as queries, _output(attn.to_k) as keys:
            output = self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs)
        recorded = keys[0][self.rows]
        if encoder_hidden_states is None:  # `inner` may add keys of other images behind the image's own
            recorded = recorded[:, : hidden_states.shape[1]]
        self.record(_head_mean(attn, queries[0][self.rows], recorded))
        return output


@contextmanager
def record_attention(
    unet: Any, tokens: Tokens, *, latent_size: tuple[int, int], attention_tokens: int = 256, refine: int = 0
) -> Iterator[AttentionStore]:
    """Record the attention to the wanted tokens inside; yields the store.

    A batch's last rows are recorded, because rows always are [uncond, cond]. The level is the coarsest one with
    cross-attention that has at least `attention_tokens` queries (SDXL at 1024 pixels: 32 x 32), or the finest if none
    has. Of self-attention, the last layer of each stack is recorded (SDXL: 6 of 60): the maps of one stack are much the
    same, and all of them cost a fifth of an edit.
    """
    level = _level(unet, latent_size, attention_tokens)
    store = AttentionStore(_size(latent_size, level), refine)
    rows, tokens = slice(-len(tokens.wanted), None), tokens.to(unet.device)
    last_layers = _last_of_each_stack(unet)

    def replace(name: str, old: Processor) -> Processor:
        if _layer_level(unet, name) != level:
            return old
        if _is_cross(name):
            return Recorder(old, rows, store, partial(store.add_cross, tokens=tokens))
        return Recorder(old, rows, store, store.add_self) if refine and name in last_layers else old

    with use_processors(unet, replace):
        yield store


@contextmanager
def _output(module: torch.nn.Module) -> Iterator[list[Tensor]]:
    """A list of the module's outputs inside."""
    outputs: list[Tensor] = []
    hook = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()


def _head_mean(attn: Any, queries: Tensor, keys: Tensor) -> Float[Tensor, "b q k"]:
    """The attention probabilities, averaged over heads, float32."""
    queries, keys = (rearrange(each, "b n (head d) -> b head n d", head=attn.heads) for each in (queries, keys))
    logits: Tensor = einsum(queries * attn.scale, keys, "b head q d, b head k d -> b head q k").float()
    return logits.softmax(dim=-1).mean(dim=1)


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
