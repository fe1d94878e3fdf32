"""Watching attention without changing it.

The fused attention stays in charge of the outputs. Beside it, at the one wanted level, the probabilities of
the few wanted tokens are computed from its own queries and keys: of a layer's full map nothing stays. Identity-aware
maps as in LIPE, figure 4
(https://arxiv.org/abs/2406.17236); their propagation along self-attention as in
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
"""diffusers' seam: (attention layer, hidden states, encoder hidden states, ...) -> hidden states."""


@contextmanager
def use_processors(unet: Any, replace: Callable[[str, Processor], Processor]) -> Iterator[None]:
    """Put `replace(layer name, its processor)` in every attention layer, and the old ones back after."""
    before = dict(unet.attn_processors)
    unet.set_attn_processor({name: replace(name, old) for name, old in before.items()})
    try:
        yield
    finally:
        unet.set_attn_processor(dict(before))


@dataclass(frozen=True)
class Tokens:
    """Which tokens of each prompt are looked for (`wanted`) and which are words at all (`content`).

    Start, end and padding are no content: start-of-text absorbs most of the attention and would drown the
    rest.
    """

    wanted: Bool[Tensor, "b n"]
    content: Bool[Tensor, "b n"]

    @classmethod
    def of(cls, wanted: Sequence[Sequence[int]], content: Sequence[int], length: int) -> "Tokens":
        """From the positions of the wanted tokens and the number of words' tokens of each row."""
        at = torch.arange(length)
        return cls(
            torch.stack([torch.isin(at, torch.tensor(list(row))) for row in wanted]),
            torch.stack([(at >= 1) & (at <= count) for count in content]),
        )

    def to(self, device: torch.device) -> "Tokens":
        """The same tokens on another device."""
        return Tokens(self.wanted.to(device), self.content.to(device))


@dataclass
class AttentionStore:
    """Head means summed over layers since the last `pop`, at one level of rows x columns queries.

    Nothing is recorded inside `paused`.
    """

    size: tuple[int, int]
    refine: int
    wanted: list[Float[Tensor, "b q"]] = field(default_factory=list)
    content: list[Float[Tensor, "b q"]] = field(default_factory=list)
    affinity: Float[Tensor, "b q q"] | None = None
    is_paused: bool = False

    def pop(self) -> AttentionMap:
        """The wanted tokens' share of the content's attention since the last pop; the store is empty after.

        With `refine` = k the map is moved k times along self-attention, A^k map: places that attend to the
        subject become subject.
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

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What the network does inside is not recorded."""
        before, self.is_paused = self.is_paused, True
        try:
            yield
        finally:
            self.is_paused = before

    def add_cross(self, mass: Float[Tensor, "b q n"], tokens: Tokens) -> None:
        """Record one cross-attention layer's mean over its heads."""
        self.wanted.append(einsum(mass, tokens.wanted.to(mass), "b q n, b n -> b q"))
        self.content.append(einsum(mass, tokens.content.to(mass), "b q n, b n -> b q"))

    def add_self(self, mass: Float[Tensor, "b q q"]) -> None:
        """Record one self-attention layer's mean over its heads."""
        self.affinity = mass if self.affinity is None else self.affinity + mass


@dataclass(frozen=True)
class Recorder:
    """A processor that answers as `inner` does and shows the attention of the batch's last rows to `record`.

    Queries and keys are those that `inner` computes, so that their projections run once.
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
        if self.store.is_paused:
            return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs)
        with _output(attn.to_q) as queries, _output(attn.to_k) as keys:
            answer = self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs)
        recorded = keys[0][self.rows]
        if encoder_hidden_states is None:  # `inner` may look elsewhere, too: places of the picture itself come first
            recorded = recorded[:, : hidden_states.shape[1]]
        self.record(_head_mean(attn, queries[0][self.rows], recorded))
        return answer


@contextmanager
def record_attention(
    unet: Any, tokens: Tokens, *, latent_size: tuple[int, int], attention_tokens: int = 256, refine: int = 0
) -> Iterator[AttentionStore]:
    """Record the wanted tokens while inside; rows always are [uncond, cond], so the last rows of a batch
    are recorded.

    The level is the coarsest one with cross-attention that has at least `attention_tokens` queries (SDXL at
    1024 pixels: 32 x 32), or the finest if none has. Of self-attention, each stack's last layer is recorded (SDXL: 6 of
    60): all of a stack's look at much the same places, and their full maps cost a fifth of an edit.
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
    """What the module answers while inside."""
    seen: list[Tensor] = []
    hook = module.register_forward_hook(lambda module, given, output: seen.append(output))
    try:
        yield seen
    finally:
        hook.remove()


def _head_mean(attn: Any, queries: Tensor, keys: Tensor) -> Float[Tensor, "b q k"]:
    """The attention probabilities' mean over heads, float32."""
    queries, keys = (rearrange(each, "b n (head d) -> b head n d", head=attn.heads) for each in (queries, keys))
    logits: Tensor = einsum(queries * attn.scale, keys, "b head q d, b head k d -> b head q k").float()
    return logits.softmax(dim=-1).mean(dim=1)


def _is_cross(name: str) -> bool:
    return ".attn2." in name


def _last_of_each_stack(unet: Any) -> set[str]:
    """The self-attention layers behind which no other one of the same transformer follows."""
    stacks = {name.partition(".transformer_blocks.")[0]: name for name in unet.attn_processors if not _is_cross(name)}
    return set(stacks.values())


def _layer_level(unet: Any, name: str) -> int:
    """How many times the latents were halved before this layer."""
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
    """Names in the order of execution: down, middle, up; diffusers lists the middle last."""
    order = ("down_blocks", "mid_block", "up_blocks")
    names = [name for name in unet.attn_processors if ".attn1." in name]
    return sorted(names, key=lambda name: order.index(name.split(".")[0]))
