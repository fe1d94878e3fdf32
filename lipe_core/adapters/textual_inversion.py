"""Learned embeddings of the subject's token: its rows in the text encoders' embedding tables.

An Image is Worth One Word, Gal et al., section 4 (https://arxiv.org/abs/2208.01618), here combined with the adapter.
In the base model, a word such as "red" overrules what the noise suggests, wherever the subject is and whatever it does.
An adapter on attention alone reaches that far only in poses and places that the references show.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from lipe_core.adapters.full_attention import BaseWeights
from lipe_core.errors import InvalidPrior
from lipe_core.sdxl import BaseModel

_NAMES = ("lora_token.clip_l", "lora_token.clip_g")
"""The customary names of the encoders. diffusers' `load_lora_weights` refuses a file with a name that lacks "lora"."""


def split_vectors(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split a prior's tensors into the token's vectors, which may be none, and the network's tensors."""
    vectors = {name: tensor for name, tensor in tensors.items() if name in _NAMES}
    return vectors, {name: tensor for name, tensor in tensors.items() if name not in _NAMES}


def token_vectors(model: BaseModel, token: str) -> dict[str, nn.Parameter]:
    """Trainable copies of the token's embeddings, float32, (ids of the token, width) for each encoder."""
    return {
        name: nn.Parameter(_embedding_table(encoder).weight[ids].detach().float().clone())
        for name, encoder, ids in zip(_NAMES, model.text_encoders, _token_ids(model, token), strict=True)
    }


@contextmanager
def use_token(model: BaseModel, token: str, vectors: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """Embed the token with `vectors` in all prompts that are encoded inside; gradients reach the vectors.

    Yields a context manager that restores the base model's embeddings. Without vectors nothing changes. Raises
    InvalidPrior for vectors of another shape.
    """
    encoders = list(zip(_NAMES, model.text_encoders, _token_ids(model, token), strict=True)) if vectors else []
    for name, encoder, ids in encoders:
        if name not in vectors or vectors[name].shape != (len(ids), _embedding_table(encoder).embedding_dim):
            raise InvalidPrior(f"the prior's vectors for {token!r} do not fit this base model's text encoders")
    is_enabled = True

    def insert(ids: list[int], rows: Tensor, table: nn.Module, inputs: tuple[Tensor], embedded: Tensor) -> Tensor:
        if is_enabled:
            for token_id, row in zip(ids, rows, strict=True):
                embedded = torch.where((inputs[0] == token_id)[..., None], row.to(embedded), embedded)
        return embedded

    @contextmanager
    def base_embeddings() -> Iterator[None]:
        nonlocal is_enabled
        is_enabled = False
        try:
            yield
        finally:
            is_enabled = True

    with ExitStack() as hooks:
        for name, encoder, ids in encoders:
            handle = _embedding_table(encoder).register_forward_hook(partial(insert, ids, vectors[name]))
            hooks.callback(handle.remove)
        yield base_embeddings


def require_distinct(model: BaseModel, tokens: Sequence[str]) -> None:
    """Raise InvalidPrior if two tokens share an id: the embeddings of one would change the other."""
    for one, other in combinations(tokens, 2):
        if any(
            set(first) & set(second)
            for first, second in zip(_token_ids(model, one), _token_ids(model, other), strict=True)
        ):
            raise InvalidPrior(f"the tokens {one!r} and {other!r} share a part: train one prior with another token")


def _token_ids(model: BaseModel, token: str) -> list[list[int]]:
    """The token's ids in each tokenizer: more than one where a tokenizer splits the word."""
    return [tokenizer(token, add_special_tokens=False).input_ids for tokenizer in model.tokenizers]


def _embedding_table(encoder: Any) -> nn.Embedding:
    table: nn.Embedding = encoder.get_input_embeddings()
    return table
