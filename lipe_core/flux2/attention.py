"""Recording of attention maps beside the fused kernel, and layers in which an image reads another one.

Image tokens attend to text and image in one softmax. The maps are the columns of the subject's words, in double-stream
blocks, where text has its own keys. Output-space maps as in ConceptAttention (https://arxiv.org/abs/2502.04320) are the
other candidate; which blocks have the best maps is not measured yet.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from diffusers.models.embeddings import apply_rotary_emb
from jaxtyping import Float
from torch import Tensor

from lipe_core.backbone import Tokens, Visit, subject_share
from lipe_core.shapes import AttentionMap

_MOST_LOGITS = 2**25
"""Most attention logits that exist at once, 134 MB in float32, unless one row of queries has more."""

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines of the positions of all tokens, text first."""


@dataclass(frozen=True)
class QueriesAndKeys:
    """Normalized queries and keys of the recorded blocks in the first call of the network since the last `pop`.

    `kept` has them by the name of block and norm; `rotary` has the positions of that call. `size` is the (rows,
    columns) of the image tokens.
    """

    layers: tuple[str, ...]
    tokens: Tokens
    size: tuple[int, int]
    refine: int
    kept: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    rotary: dict[str, Rotary] = field(default_factory=dict)

    def pop(self) -> AttentionMap:
        """Return the wanted tokens' share of the attention to content since the last pop, and empty the store.

        The attention is averaged over heads and summed over blocks. Self-attention is that of the last block. Raises
        RuntimeError if nothing was recorded.
        """
        if not self.kept:
            raise RuntimeError("nothing was recorded: the network has not run since the last pop")
        maps = [self._probabilities(layer) for layer in self.layers]
        words = self._words(self.layers[-1])
        self.kept.clear()
        self.rotary.clear()
        to_text = torch.stack([found[..., :words] for found in maps]).sum(dim=0)
        wanted, content = (
            (to_text @ columns.to(to_text)[..., None])[..., 0] for columns in (self.tokens.wanted, self.tokens.content)
        )
        affinity = maps[-1][..., words:] if self.refine else None
        return subject_share(wanted, content, affinity, self.refine, self.size)

    def _words(self, layer: str) -> int:
        """The number of text tokens, which come first."""
        return self.kept[layer, "norm_added_k"].shape[1]

    def _probabilities(self, layer: str) -> Float[Tensor, "b q k"]:
        """The attention of the recorded rows' image tokens to text and image, averaged over heads, float32."""
        rows, queries = len(self.tokens.wanted), math.prod(self.size)
        cos, sin = self.rotary[layer]
        of_image = tuple(part[self._words(layer) :] for part in (cos, sin))
        image_query, image_key, text_key = (
            self.kept[layer, norm][-rows:] for norm in ("norm_q", "norm_k", "norm_added_k")
        )
        query = apply_rotary_emb(image_query, of_image, sequence_dim=1)
        key = apply_rotary_emb(torch.cat([text_key, image_key], dim=1), (cos, sin), sequence_dim=1)
        q, k = (x.transpose(1, 2) for x in (query / math.sqrt(query.shape[-1]), key))
        at_once = max(1, _MOST_LOGITS // (rows * q.shape[1] * k.shape[2]))
        parts = [
            (q[:, :, start : start + at_once] @ k.mT).float().softmax(dim=-1).mean(dim=1)
            for start in range(0, queries, at_once)
        ]
        return torch.cat(parts, dim=1)


@contextmanager
def record_attention(
    transformer: Any, tokens: Tokens, *, latent_size: tuple[int, int], refine: int
) -> Iterator[QueriesAndKeys]:
    """Record the attention of image tokens to the wanted tokens inside; yields the store.

    A batch's last rows are recorded, because rows always are [uncond, cond], in the later half of the double-stream
    blocks.
    """
    count = len(transformer.transformer_blocks)
    layers = tuple(f"transformer_blocks.{number}.attn" for number in range(count // 2, count))
    store = QueriesAndKeys(layers, tokens.to(transformer.device), latent_size, refine)
    with ExitStack() as hooks:
        for layer in layers:
            attn = transformer.get_submodule(layer)
            keep_rotary = partial(_keep_rotary, store.rotary, layer)
            hooks.callback(attn.register_forward_pre_hook(keep_rotary, with_kwargs=True).remove)
            for norm in ("norm_q", "norm_k", "norm_added_k"):
                keep = partial(_keep_first, store.kept, (layer, norm))
                hooks.callback(attn.get_submodule(norm).register_forward_hook(keep).remove)
        yield store


def _keep_rotary(
    kept: dict[str, Rotary], layer: str, module: torch.nn.Module, args: Any, kwargs: Mapping[str, Any]
) -> None:
    kept.setdefault(layer, kwargs["image_rotary_emb"])


def _keep_first(
    kept: dict[tuple[str, str], Tensor], name: tuple[str, str], module: torch.nn.Module, inputs: Any, output: Tensor
) -> None:
    kept.setdefault(name, output)


@contextmanager
def visited_attention(transformer: Any, share: float, visit: Visit, words: int) -> Iterator[None]:
    """Call `visit` in the single-stream blocks that follow the first `share` of all blocks, in the order of execution.

    `words` is the number of text tokens. An image that reads another one takes twice the tokens through such a block.
    """
    doubles, singles = len(transformer.transformer_blocks), len(transformer.single_transformer_blocks)
    first = max(0, round(share * (doubles + singles)) - doubles)
    names = [f"single_transformer_blocks.{number}.attn" for number in range(first, singles)]
    layers = {name: transformer.get_submodule(name) for name in names}
    before = {name: layer.processor for name, layer in layers.items()}
    try:
        for name, layer in layers.items():
            layer.processor = _Visited(name, before[name], visit, words)
        yield
    finally:
        for name, layer in layers.items():
            layer.processor = before[name]


@dataclass(frozen=True)
class _Visited:
    """diffusers' processor, whose image tokens may read those of another image at the same positions."""

    name: str
    inner: Any
    visit: Visit
    words: int

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Rotary | None = None,
    ) -> Tensor:
        more = self.visit(self.name, hidden_states[:, self.words :])
        if more is None or image_rotary_emb is None:
            output: Tensor = self.inner(attn, hidden_states, attention_mask, image_rotary_emb)
            return output
        both = torch.cat([hidden_states, more], dim=1)
        cos, sin = (torch.cat([part, part[self.words :]]) for part in image_rotary_emb)
        read: Tensor = self.inner(attn, both, attention_mask, (cos, sin))
        return read[:, : hidden_states.shape[1]]
