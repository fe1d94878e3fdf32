"""Every attention weight itself, as the paper trains them: LIPE, section 3.2 (https://arxiv.org/abs/2406.17236).

The alternative to a LoRA, a hundred times its size on disk. The weights are float32 while they are trained, so that
small steps are not rounded away.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from lipe_core.errors import InvalidPrior
from lipe_core.sdxl import BaseModel

BaseWeights = Callable[[], AbstractContextManager[None]]
"""The network as it was before the prior came on, while inside: the base model."""


@contextmanager
def trainable_attention(model: BaseModel) -> Iterator[dict[str, torch.nn.Parameter]]:
    """The network's attention weights, float32 and trainable while inside; after, they are what they were."""
    weights = attention_weights(model)
    before = {name: weight.data for name, weight in weights.items()}
    try:
        for weight in weights.values():
            weight.data = weight.data.float().clone()
            weight.requires_grad_(True)
        yield weights
    finally:
        for name, weight in weights.items():
            weight.data = before[name]
            weight.grad = None
        model.unet.requires_grad_(False)


@contextmanager
def use_attention(model: BaseModel, tensors: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """The given attention weights, all of them, in the network while inside; after, its own again."""
    if {name: t.shape for name, t in tensors.items()} != {n: w.shape for n, w in attention_weights(model).items()}:
        raise InvalidPrior("the prior's attention weights do not fit this base model's")
    with holding(model, tensors) as base_weights:
        yield base_weights


@contextmanager
def holding(model: BaseModel, tensors: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """The given attention weights in place of the network's own while inside; yields the way back to these."""
    weights = {name: weight for name, weight in attention_weights(model).items() if name in tensors}
    base = {name: weight.data for name, weight in weights.items()}
    learnt = {name: tensors[name].to(weight.device, weight.dtype) for name, weight in weights.items()}

    @contextmanager
    def having(values: Mapping[str, Tensor]) -> Iterator[None]:
        before = {name: weight.data for name, weight in weights.items()}
        try:
            for name, weight in weights.items():
                weight.data = values[name]
            yield
        finally:
            for name, weight in weights.items():
                weight.data = before[name]

    with having(learnt):
        yield lambda: having(base)


def attention_weights(model: BaseModel) -> dict[str, torch.nn.Parameter]:
    """All parameters of all self- and cross-attention layers, by name."""
    return {name: w for name, w in model.unet.named_parameters() if ".attn1." in name or ".attn2." in name}
