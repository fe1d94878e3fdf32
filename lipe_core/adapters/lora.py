"""LoRA on the attention layers, and the use of a prior on the base model. The only file that imports peft.

LoRA, https://arxiv.org/abs/2106.09685. LIPE trains the attention layers only (section 3.2).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor

from lipe_core.adapters.beside_weights import beside_weights
from lipe_core.adapters.flat import FlatWeights
from lipe_core.adapters.full_attention import (
    AttentionTraining,
    BaseWeights,
    replace_weights,
    trainable_attention,
    use_attention,
)
from lipe_core.adapters.low_rank import LowRank, low_rank_linear
from lipe_core.adapters.prior import Prior
from lipe_core.adapters.textual_inversion import require_distinct, split_vectors, use_token
from lipe_core.backbone import BaseModel
from lipe_core.errors import InvalidPrior
from lipe_core.quantization import is_quantized
from lipe_core.randomness import stream

Target = Literal["to_q", "to_k", "to_v", "to_out.0"]
"""One of the four projections of every self- and cross-attention layer."""

TARGETS: tuple[Target, ...] = get_args(Target)

Tuning = Literal["lora", "full_attention"]
"""A low-rank addition to the projections, or all attention weights themselves (the paper)."""

_FLAT = "adapter"


@dataclass(frozen=True)
class TrainableWeights:
    """The weights that a training changes, float32, by name.

    Call `collect` after each backward pass and `publish` after each change of the weights. `export` returns them as the
    tensors of a prior. `parts` splits a weight, or a tensor of its shape, into named tensors that share its memory.
    """

    weights: dict[str, torch.nn.Parameter]
    collect: Callable[[], None]
    publish: Callable[[], None]
    export: Callable[[], dict[str, Tensor]]
    parts: Callable[[str, Tensor], dict[str, Tensor]]


@contextmanager
def trainable_weights(
    model: BaseModel, tuning: Tuning, *, rank: int, alpha: float, seed: int, targets: Sequence[Target] = TARGETS
) -> Iterator[TrainableWeights]:
    """Make the network trainable; it is the base model again on exit. Full attention ignores `rank` to `targets`."""
    if tuning == "full_attention":
        with trainable_attention(model) as attention:
            export = partial(_export_attention, model, attention)
            yield TrainableWeights(
                attention.weights, lambda: None, attention.publish, export, lambda name, weight: {name: weight}
            )
    else:
        with _new_adapter(model, rank, alpha, seed, targets) as (name, flat):
            export = partial(export_adapter, model, name)
            yield TrainableWeights(
                {_FLAT: flat.master},
                flat.collect,
                flat.publish,
                export,
                lambda name, weight: flat.views(weight) if name == _FLAT else {name: weight},
            )


@contextmanager
def new_adapter(
    model: BaseModel, *, rank: int, alpha: float, seed: int, targets: Sequence[Target] = TARGETS
) -> Iterator[str]:
    """Add a new LoRA to the network and yield its name; it is removed on exit. `seed` decides its initial weights."""
    with _new_adapter(model, rank, alpha, seed, targets) as (name, _):
        yield name


@contextmanager
def _new_adapter(
    model: BaseModel, rank: int, alpha: float, seed: int, targets: Sequence[Target]
) -> Iterator[tuple[str, FlatWeights]]:
    with _added(model, LoraConfig(r=rank, lora_alpha=alpha, target_modules=model.adapter_targets(targets))) as name:
        draw = stream("adapter", seed)
        parameters = adapter_parameters(model)
        for key, weight in parameters.items():
            if "lora_A" in key:
                bound = weight.shape[1] ** -0.5
                weight.data.copy_((torch.rand(weight.shape, generator=draw) * 2 - 1) * bound)
        flat = FlatWeights.of(parameters, model.dtype, alpha / rank)
        for key, view in flat.views(flat.master.data).items():
            parameters[key].data = view  # what peft exports
        _fuse_forward(model, name, flat)
        yield name, flat


def _fuse_forward(model: BaseModel, name: str, flat: FlatWeights) -> None:
    """Let each LoRA layer compute its output in one operation. peft discards the layers when the adapter is removed."""
    values, gradients = flat.views(flat.shadow), flat.views(flat.gradient)
    for path, layer in model.network.named_modules():
        if isinstance(layer, LoraLayer):
            base: Any = layer.get_base_layer()
            down, up = (f"{path}.lora_{part}.{name}.weight" for part in "AB")
            added = LowRank(values[down], values[up], gradients[down], gradients[up], flat.scale, flat.master)
            layer.forward = partial(
                low_rank_linear,
                weight=base.weight,
                bias=base.bias,
                added=added,
                weight_scale=getattr(base, "scale", None),
            )


@contextmanager
def use_adapter(model: BaseModel, prior: Prior) -> Iterator[BaseWeights]:
    """Apply the prior to the network and its token vectors to prompts encoded inside; removed on exit.

    Yields a `BaseWeights`. Raises InvalidPrior if a tensor is missing, unknown or of another shape.
    """
    vectors, weights = split_vectors(prior.adapter)
    tensors = {key.removeprefix(model.adapter_prefix): tensor for key, tensor in weights.items()}
    use_weights = _use_lora if any("lora_" in key for key in tensors) else use_attention
    tokens = {prior.manifest.token: vectors, **prior.more_tokens}
    require_distinct(model, list(tokens))
    with ExitStack() as applied:
        disabled = [applied.enter_context(use_weights(model, tensors))]
        disabled += [applied.enter_context(use_token(model, token, rows)) for token, rows in tokens.items()]

        @contextmanager
        def without_prior() -> Iterator[None]:
            with ExitStack() as base:
                for disable in disabled:
                    base.enter_context(disable())
                yield

        yield without_prior


@contextmanager
def _use_lora(model: BaseModel, tensors: dict[str, Tensor]) -> Iterator[BaseWeights]:
    """Add the low-rank products to the weights once, so that an evaluation costs as much as the base model's.

    Weights in 8 bits stay, and the products are beside them. The adapter may leave out layers, and have another rank in
    each.
    """
    weights, layers = linear_weights(model), {key.rpartition(".lora_")[0] for key in tensors}
    if not layers <= weights.keys() or tensors.keys() != {
        f"{layer}.lora_{part}.weight" for layer in layers for part in "AB"
    }:
        raise InvalidPrior("the adapter's tensors do not belong to this base model's attention layers")
    products = {layer: _matrices(weights[layer], tensors, layer) for layer in layers}
    if is_quantized(model.network):
        changed = beside_weights(model, products)
    else:
        changed = {f"{layer}.weight": _merged(weights[layer], *matrices) for layer, matrices in products.items()}
    with replace_weights(model, changed) as base_weights:
        yield base_weights


def linear_weights(model: BaseModel) -> dict[str, Tensor]:
    """The weights of all linear layers in the network's transformer blocks, by the layer's name."""
    return {
        name: layer.weight.data
        for name, layer in model.network.named_modules()
        if isinstance(layer, torch.nn.Linear) and model.is_adaptable(name)
    }


def _matrices(weight: Tensor, tensors: Mapping[str, Tensor], layer: str) -> tuple[Tensor, Tensor]:
    """A and B of a layer, float32, on the device of its weight."""
    down, up = (tensors[f"{layer}.lora_{part}.weight"].to(weight.device, torch.float32) for part in "AB")
    if up.ndim != 2 or down.ndim != 2 or up.shape[1] != down.shape[0] or (len(up), down.shape[1]) != weight.shape:
        raise InvalidPrior(f"the adapter's {layer} does not fit this base model's attention layer")
    return down, up


def _merged(weight: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """W + B A, added in float32."""
    return (weight.float() + up @ down).to(weight.dtype)


def adapter_parameters(model: BaseModel) -> dict[str, torch.nn.Parameter]:
    """The LoRA's own parameters, float32, by name. Autograd does not know them: they are views of a `FlatWeights`."""
    return {name: weight for name, weight in model.network.named_parameters() if "lora_" in name}


def export_adapter(model: BaseModel, name: str) -> dict[str, Tensor]:
    """The LoRA as diffusers' `load_lora_weights` reads it, on the CPU, with its scale alpha / rank multiplied in."""
    config = model.network.peft_config[name]
    scale = config.lora_alpha / config.r
    return {
        f"{model.adapter_prefix}{key}": tensor.detach().float().cpu() * (scale if "lora_B" in key else 1.0)
        for key, tensor in get_peft_model_state_dict(model.network, adapter_name=name).items()
    }


def _export_attention(model: BaseModel, attention: AttentionTraining) -> dict[str, Tensor]:
    return {f"{model.adapter_prefix}{name}": difference for name, difference in attention.export().items()}


@contextmanager
def _added(model: BaseModel, config: LoraConfig) -> Iterator[str]:
    network: Any = model.network
    if getattr(network, "_hf_peft_config_loaded", False):
        raise RuntimeError("the network already has an adapter: leave its `with` block first")
    name = "prior"
    try:
        network.add_adapter(config, adapter_name=name)
        network.eval()  # the layers of the adapter start in training mode
        for weight in adapter_parameters(model).values():
            weight.data = weight.data.float()
        yield name
    finally:
        network.unload_lora()
        network.requires_grad_(False)
