"""All attention weights of the network, as the paper trains them: LIPE, section 3.2 (https://arxiv.org/abs/2406.17236).

The alternative to a LoRA, and a hundred times its size on disk. The weights are float32 during training, because lower
precision would round small steps away.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from lipe_core.errors import InvalidPrior
from lipe_core.sdxl import BaseModel

BaseWeights = Callable[[], AbstractContextManager[None]]
"""Makes a context manager that disables the prior: inside it, the network is the base model."""


@contextmanager
def trainable_attention(model: BaseModel) -> Iterator[dict[str, torch.nn.Parameter]]:
    """Make the network's attention weights float32 and trainable; yields them by name, and restores them on exit."""
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
    """Replace all attention weights of the network; restores them on exit.

    Yields a `BaseWeights`. Raises InvalidPrior if a tensor is missing, unknown or of another shape.
    """
    if {name: t.shape for name, t in tensors.items()} != {n: w.shape for n, w in attention_weights(model).items()}:
        raise InvalidPrior("the prior's attention weights do not fit this base model's")
    with replace_attention(model, tensors) as base_weights:
        yield base_weights


@contextmanager
def replace_attention(model: BaseModel, tensors: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """Replace the attention weights that `tensors` names; restores them on exit. Yields a `BaseWeights`."""
    weights = {name: weight for name, weight in attention_weights(model).items() if name in tensors}
    base = {name: weight.data for name, weight in weights.items()}
    replacements = {name: tensors[name].to(weight.device, weight.dtype) for name, weight in weights.items()}

    @contextmanager
    def assigned(values: Mapping[str, Tensor]) -> Iterator[None]:
        before = {name: weight.data for name, weight in weights.items()}
        try:
            for name, weight in weights.items():
                weight.data = values[name]
            yield
        finally:
            for name, weight in weights.items():
                weight.data = before[name]

    with assigned(replacements):
        yield lambda: assigned(base)


def attention_weights(model: BaseModel) -> dict[str, torch.nn.Parameter]:
    """All parameters of all self- and cross-attention layers, by name."""
    return {name: w for name, w in model.unet.named_parameters() if ".attn1." in name or ".attn2." in name}
