"""A mix of two priors in one: the second one's change of the network, times a weight, is added to the first one's.

W + D1 + w D2 for each weight W of the network. For LoRAs D = B A, and the sum is again a LoRA: the ranks of both follow
each other, [B1, w B2] [A1; A2] = B1 A1 + w B2 A2. This is the merge of task vectors, Ilharco et al. 2023, section 2
(https://arxiv.org/abs/2212.04089). Token embeddings do not add up: each token keeps its own.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lipe_core.adapters.prior import Prior
from lipe_core.adapters.textual_inversion import split_vectors
from lipe_core.errors import InvalidRequest


def mixed(first: Prior, second: Prior, weight: float) -> Prior:
    """The first prior with the second one's change of the network, times `weight`. Its manifest is the first one's.

    If the second prior has embeddings of its token, prompts may name that token, too. Raises InvalidRequest if the
    priors have different base models, if only one of them is a LoRA, or if both define the same token.
    """
    if first.manifest.fingerprint != second.manifest.fingerprint:
        raise InvalidRequest("the priors have different base models and cannot be mixed: train both on one base model")
    vectors, one = split_vectors(first.adapter)
    more_vectors, other = split_vectors(second.adapter)
    token = second.manifest.token
    if more_vectors and token.casefold() == first.manifest.token.casefold():
        raise InvalidRequest(f"both priors define the token {token!r}: train one of them with another token")
    if _is_lora(one) != _is_lora(other):
        raise InvalidRequest("a LoRA and full attention weights cannot be mixed: train both with the same `tuning`")
    add = _add_low_rank if _is_lora(one) else _add_differences
    tokens = {**first.more_tokens, **second.more_tokens, **({token: more_vectors} if more_vectors else {})}
    mixes = (*first.mixes, (second.manifest.adapter_sha256, weight), *second.mixes)
    return replace(first, adapter=vectors | add(one, other, weight), more_tokens=tokens, mixes=mixes)


def _is_lora(tensors: Mapping[str, Tensor]) -> bool:
    return any(".lora_" in name for name in tensors)


def _add_low_rank(one: Mapping[str, Tensor], other: Mapping[str, Tensor], weight: float) -> dict[str, Tensor]:
    """The ranks of both. A layer that only one of them has is as there."""
    scaled = {name: tensor.float() * (weight if ".lora_B." in name else 1.0) for name, tensor in other.items()}
    both = {
        name: torch.cat([tensor.float(), scaled[name]], dim=1 if ".lora_B." in name else 0)
        for name, tensor in one.items()
        if name in scaled
    }
    return {**one, **scaled, **both}


def _add_differences(one: Mapping[str, Tensor], other: Mapping[str, Tensor], weight: float) -> dict[str, Tensor]:
    """The weighted sum in float32: bfloat16 would round the smaller difference away."""
    scaled = {name: tensor.float() * weight for name, tensor in other.items()}
    return {**one, **scaled, **{name: tensor.float() + scaled[name] for name, tensor in one.items() if name in scaled}}
