"""Prompt-to-prompt's attention control: the target's attention maps are the source's (section 3.2).

https://arxiv.org/abs/2208.01626. In cross-attention, the words that both prompts share take the source's maps: a word
for a word is a swap, words that are added are a new phrase. In self-attention, all places take them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lipe_core.sdxl import Processor, use_processors


@dataclass(frozen=True)
class Alignment:
    """For each token of each target prompt: whether the source prompt has it too (`shared`), and where (`index`).

    `new` marks the target's words that the source lacks, `old` the source's words that some target lacks.
    """

    index: Tensor  # "b n", integers
    shared: Tensor  # "b n", booleans
    new: Tensor  # "b n", booleans
    old: Tensor  # "1 n", booleans

    @classmethod
    def of(cls, source: list[int], targets: list[list[int]], length: int) -> "Alignment":
        """Align the prompts' token ids; `length` is that of a padded prompt.

        Words in place of as many others are a replacement: each takes the map of its counterpart. Start, end and
        padding have counterparts too.
        """
        index = torch.zeros(len(targets), length, dtype=torch.long)
        shared = torch.ones(len(targets), length, dtype=torch.bool)
        new = torch.zeros(len(targets), length, dtype=torch.bool)
        old = torch.zeros(1, length, dtype=torch.bool)
        for row, target in enumerate(targets):
            end = 1 + len(target)
            index[row, end:] = (torch.arange(length - end) + 1 + len(source)).clamp(max=length - 1)
            for kind, i, i_end, j, j_end in SequenceMatcher(None, source, target, autojunk=False).get_opcodes():
                if kind == "equal" or (kind == "replace" and i_end - i == j_end - j):
                    index[row, 1 + j : 1 + j_end] = torch.arange(1 + i, 1 + i_end)
                else:
                    shared[row, 1 + j : 1 + j_end] = False
                if kind != "equal":
                    new[row, 1 + j : 1 + j_end] = True
                    old[0, 1 + i : 1 + i_end] = True
        return cls(index, shared, new, old)


@dataclass
class MapReplacement:
    """The maps that the targets take from the source at the present step.

    The last rows of a batch are the source and, after it, the targets; the unconditional rows before them keep their
    own maps. Self-attention layers of more than `self_tokens` queries keep theirs too.
    """

    alignment: Alignment
    self_tokens: int
    of_cross_attention: bool = False
    of_self_attention: bool = False


@contextmanager
def replace_maps(unet: Any, replacement: MapReplacement) -> Iterator[None]:
    """Context manager that puts every attention layer under `replacement`."""
    with use_processors(unet, lambda name, old: MapReplacementProcessor(old, replacement, ".attn2." in name)):
        yield


@dataclass(frozen=True)
class MapReplacementProcessor:
    """A processor that computes the targets' outputs from the source's attention maps and the targets' values."""

    inner: Processor
    replacement: MapReplacement
    is_cross: bool

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        output = self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs)
        replacement, rows = self.replacement, len(self.replacement.alignment.index)
        source, targets = hidden_states[-rows - 1 : -rows], hidden_states[-rows:]
        if self.is_cross and replacement.of_cross_attention and encoder_hidden_states is not None:
            text = encoder_hidden_states[-rows - 1 :]
            heads = _replaced_cross_attention(attn, source, targets, text, replacement.alignment)
        elif not self.is_cross and replacement.of_self_attention and source.shape[1] <= replacement.self_tokens:
            query, key = (_heads(project(source), attn).expand(rows, -1, -1, -1) for project in (attn.to_q, attn.to_k))
            heads = scaled_dot_product_attention(query, key, _heads(attn.to_v(targets), attn), scale=attn.scale)
        else:
            return output
        joined = attn.to_out[0](rearrange(heads, "b head q d -> b q (head d)"))
        return torch.cat([output[:-rows], joined])


def _replaced_cross_attention(attn: Any, source: Tensor, targets: Tensor, text: Tensor, alignment: Alignment) -> Tensor:
    """The targets' cross-attention with the source's columns where a word is shared, "b head q d".

    The maps are not normalized again, so that a new word adds to the image instead of weakening the others.
    """
    queries = _heads(attn.to_q(torch.cat([source, targets])), attn)
    logits = queries @ _heads(attn.to_k(text), attn).transpose(-1, -2) * attn.scale
    maps = logits.float().softmax(dim=-1)
    index = rearrange(alignment.index.to(maps.device), "b n -> b 1 1 n").expand_as(maps[1:])
    shared = rearrange(alignment.shared.to(maps.device), "b n -> b 1 1 n")
    mixed = torch.where(shared, maps[:1].expand_as(maps[1:]).gather(-1, index), maps[1:])
    return mixed.to(targets) @ _heads(attn.to_v(text[1:]), attn)


def _heads(projected: Tensor, attn: Any) -> Tensor:
    return rearrange(projected, "b q (head d) -> b head q d", head=attn.heads)
