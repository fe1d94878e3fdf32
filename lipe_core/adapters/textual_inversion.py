"""The subject's token with a meaning of its own: its rows of the text encoders' embedding tables, learnt.

An Image is Worth One Word, Gal et al., section 4 (https://arxiv.org/abs/2208.01618), here together with the adapter.
The network lets a word such as "red" overrule what the noise suggests, wherever the subject is and whatever it does.
What is added to attention alone reaches that far only in poses and places that the references show.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lipe_core.adapters.full_attention import BaseWeights
from lipe_core.errors import InvalidPrior
from lipe_core.sdxl import BaseModel

_NAMES = ("lora_token.clip_l", "lora_token.clip_g")
"""The encoders' customary names; diffusers' `load_lora_weights` takes a file only if each name in it says lora."""


def split(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A prior's tensors in two: the token's vectors, none where none were learnt, and the network's."""
    vectors = {name: tensor for name, tensor in tensors.items() if name in _NAMES}
    return vectors, {name: tensor for name, tensor in tensors.items() if name not in _NAMES}


def token_vectors(model: BaseModel, token: str) -> dict[str, nn.Parameter]:
    """Copies of the token's embeddings to train, float32: (pieces of the token, width) for each encoder."""
    return {
        name: nn.Parameter(_table(encoder).weight[ids].detach().float().clone())
        for name, encoder, ids in zip(_NAMES, model.text_encoders, _pieces(model, token), strict=True)
    }


@contextmanager
def use_token(model: BaseModel, token: str, vectors: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """Prompts that are encoded while inside mean these vectors by the token, and gradients reach them.

    Yields the way back to the token's own embeddings for a moment inside. Without vectors there is nothing to do.
    """
    places = list(zip(_NAMES, model.text_encoders, _pieces(model, token), strict=True)) if vectors else []
    for name, encoder, ids in places:
        if name not in vectors or vectors[name].shape != (len(ids), _table(encoder).embedding_dim):
            raise InvalidPrior(f"the prior's vectors for {token!r} do not fit this base model's text encoders")
    worded = True

    def replace(ids: list[int], rows: Tensor, table: nn.Module, args: tuple[Tensor], found: Tensor) -> Tensor:
        if worded:
            for piece, row in zip(ids, rows, strict=True):
                found = torch.where((args[0] == piece)[..., None], row.to(found), found)
        return found

    @contextmanager
    def unworded() -> Iterator[None]:
        nonlocal worded
        worded = False
        try:
            yield
        finally:
            worded = True

    with ExitStack() as hooks:
        for name, encoder, ids in places:
            handle = _table(encoder).register_forward_hook(partial(replace, ids, vectors[name]))
            hooks.callback(handle.remove)
        yield unworded


def _pieces(model: BaseModel, token: str) -> list[list[int]]:
    return [tokenizer(token, add_special_tokens=False).input_ids for tokenizer in model.tokenizers]


def _table(encoder: Any) -> nn.Embedding:
    table: nn.Embedding = encoder.get_input_embeddings()
    return table
