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
from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel, PromptCache, TokenTable
from lipe_core.errors import InvalidPrior, InvalidRequest

_PREFIX = "lora_token."
"""Begins the names of vectors. diffusers' `load_lora_weights` refuses a file with a name that lacks "lora"."""


def split_vectors(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split a prior's tensors into the token's vectors, which may be none, and the network's tensors."""
    vectors = {name: tensor for name, tensor in tensors.items() if name.startswith(_PREFIX)}
    return vectors, {name: tensor for name, tensor in tensors.items() if not name.startswith(_PREFIX)}


def base_prompts(cache: PromptCache, prior: Prior | None) -> PromptCache:
    """The cache for prompts without the prior: the same one, unless the prior has embeddings of its own."""
    if prior is None or not (split_vectors(prior.adapter)[0] or prior.more_tokens):
        return cache
    return PromptCache(cache.model)


def token_vectors(model: BaseModel, token: str) -> dict[str, nn.Parameter]:
    """Trainable copies of the token's embeddings, float32, (ids of the token, width) for each encoder."""
    return {
        name: nn.Parameter(_embedding_table(table.encoder).weight[table.ids(token)].detach().float().clone())
        for name, table in token_tables(model).items()
    }


@contextmanager
def use_token(model: BaseModel, token: str, vectors: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """Embed the token with `vectors` in all prompts that are encoded inside; gradients reach the vectors.

    Yields a context manager that restores the base model's embeddings. Without vectors nothing changes. Raises
    InvalidPrior for vectors of another shape.
    """
    tables = token_tables(model) if vectors else {}
    encoders = [(name, table.encoder, table.ids(token)) for name, table in tables.items()]
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
        if any(set(table.ids(one)) & set(table.ids(other)) for table in model.token_tables.values()):
            raise InvalidPrior(f"the tokens {one!r} and {other!r} share a part: train one prior with another token")


def token_tables(model: BaseModel) -> Mapping[str, TokenTable]:
    """The tables of embeddings. Raises InvalidRequest for a base model that has none to train."""
    if not model.token_tables:
        raise InvalidRequest(f"{model.name} does not train the embedding of a token: set token_learning_rate to 0")
    return model.token_tables


def _embedding_table(encoder: Any) -> nn.Embedding:
    table: nn.Embedding = encoder.get_input_embeddings()
    return table
