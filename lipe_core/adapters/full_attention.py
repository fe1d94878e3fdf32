"""All attention weights of the network, as the paper trains them: LIPE, section 3.2 (https://arxiv.org/abs/2406.17236).

The alternative to a LoRA, and a hundred times its size on disk. The network keeps its own precision. The weights that
are trained are float32 copies, because lower precision would round small steps away: Mixed Precision Training,
Micikevicius et al., section 3.1 (https://arxiv.org/abs/1710.03740). A prior stores the differences from the base model
in bfloat16, named as ComfyUI and LyCORIS name full differences.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from lipe_core.backbone import BaseModel
from lipe_core.errors import InvalidPrior
from lipe_core.graphs import copy_weights
from lipe_core.quantization import is_quantized

BaseWeights = Callable[[], AbstractContextManager[None]]
"""Makes a context manager that disables the prior: inside it, the network is the base model."""


@dataclass(frozen=True)
class AttentionTraining:
    """The float32 copies that are trained, and the base model's weights on the CPU, by name."""

    network: dict[str, nn.Parameter]
    weights: dict[str, nn.Parameter]
    base: dict[str, Tensor]

    @torch.no_grad()
    def publish(self) -> None:
        """Copy the trained weights to the network, rounded to its precision."""
        for name, weight in self.weights.items():
            self.network[name].copy_(weight)

    def export(self) -> dict[str, Tensor]:
        """The differences from the base model, bfloat16, on the CPU, by the names that a prior has."""
        return {
            difference_name(name): (weight.detach().cpu() - self.base[name].float()).bfloat16()
            for name, weight in self.weights.items()
        }


@contextmanager
def trainable_attention(model: BaseModel) -> Iterator[AttentionTraining]:
    """Make the network's attention weights trainable; restores them on exit.

    A gradient moves to the float32 copy as soon as it is complete, so that parts of a batch add up in float32.
    """
    network = attention_weights(model)
    base = {name: weight.data.to("cpu", copy=True) for name, weight in network.items()}
    weights = {name: nn.Parameter(weight.data.float().clone()) for name, weight in network.items()}
    with ExitStack() as stack:
        stack.callback(_restore, model, network, base)
        for name, weight in network.items():
            weight.requires_grad_(True)
            hook = weight.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                partial(_move_gradient, weights[name])
            )
            stack.callback(hook.remove)
        yield AttentionTraining(network, weights, base)


def _move_gradient(copy: nn.Parameter, weight: Tensor) -> None:
    if weight.grad is not None:
        gradient = weight.grad.float()
        copy.grad = gradient if copy.grad is None else copy.grad.add_(gradient)
        weight.grad = None


def _restore(model: BaseModel, network: Mapping[str, nn.Parameter], base: Mapping[str, Tensor]) -> None:
    model.network.requires_grad_(False)
    for name, weight in network.items():
        weight.copy_(base[name])
        weight.grad = None


@contextmanager
def use_attention(model: BaseModel, differences: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """Add differences to all attention weights of the network; restores them on exit.

    Yields a `BaseWeights`. Raises InvalidPrior if a tensor is missing, unknown or of another shape.
    """
    if is_quantized(model.network):
        raise InvalidPrior(
            "a prior with full attention weights cannot change a base model in 8 bits: use a prior with a LoRA, or "
            "LIPE_BASE_MODEL_BITS=16"
        )
    weights = attention_weights(model)
    expected = {difference_name(name): weight.shape for name, weight in weights.items()}
    if {name: difference.shape for name, difference in differences.items()} != expected:
        raise InvalidPrior("the prior's attention weights do not fit this base model's")
    changed = {
        name: (weight.data.float() + differences[difference_name(name)].to(weight.device)).to(weight.dtype)
        for name, weight in weights.items()
    }
    with replace_weights(model, changed) as base_weights:
        yield base_weights


def difference_name(weight: str) -> str:
    """The name of a weight's difference: `.diff` for a matrix, `.diff_b` for a bias."""
    layer, kind = weight.rsplit(".", 1)
    return f"{layer}.{'diff' if kind == 'weight' else 'diff_b'}"


@contextmanager
def replace_weights(model: BaseModel, tensors: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """Replace the network's weights that `tensors` names; restores them on exit. Yields a `BaseWeights`."""
    weights = {name: weight for name, weight in model.network.named_parameters() if name in tensors}
    replacements = {name: tensors[name].to(weight.device, weight.dtype) for name, weight in weights.items()}
    exchange = _exchanged if model.graphs is None else _overwritten
    with exchange(weights, replacements) as base_weights:
        yield base_weights


@contextmanager
def _exchanged(weights: Mapping[str, nn.Parameter], replacements: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """Let the parameters refer to other memory, which copies nothing."""
    base = {name: weight.data for name, weight in weights.items()}

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


@contextmanager
def _overwritten(weights: Mapping[str, nn.Parameter], replacements: Mapping[str, Tensor]) -> Iterator[BaseWeights]:
    """Copy other values into the parameters' memory, which recorded graphs read."""
    places = list(weights.values())
    base, values = [weight.detach().clone() for weight in places], [replacements[name] for name in weights]
    present = base

    @contextmanager
    def written(content: list[Tensor]) -> Iterator[None]:
        nonlocal present
        before, present = present, content
        try:
            copy_weights(places, content)
            yield
        finally:
            present = before
            copy_weights(places, before)

    with written(values):
        yield lambda: written(base)


def attention_weights(model: BaseModel) -> dict[str, torch.nn.Parameter]:
    """All parameters of all attention layers, by name."""
    return {name: weight for name, weight in model.network.named_parameters() if model.is_attention(name)}
