"""What a training tunes and an edit puts on: LoRA on the attention layers. The only file that knows peft.

LoRA, https://arxiv.org/abs/2106.09685. LIPE trains the attention layers only (section 3.2).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor

from lipe_core.adapters.full_attention import (
    BaseWeights,
    attention_weights,
    holding,
    trainable_attention,
    use_attention,
)
from lipe_core.adapters.low_rank import project
from lipe_core.adapters.prior import Prior
from lipe_core.adapters.textual_inversion import split, use_token
from lipe_core.errors import InvalidPrior
from lipe_core.randomness import stream
from lipe_core.sdxl import BaseModel

Target = Literal["to_q", "to_k", "to_v", "to_out.0"]
"""One of the four projections of every self- and cross-attention layer."""

TARGETS: tuple[Target, ...] = get_args(Target)

_PREFIX = "unet."


Tuning = Literal["lora", "full_attention"]
"""A low-rank addition to the four projections, or all attention weights themselves (the paper)."""


@dataclass(frozen=True)
class Tuned:
    """What a training may change, float32, by name; and that as the tensors of a prior."""

    weights: dict[str, torch.nn.Parameter]
    export: Callable[[], dict[str, Tensor]]


@contextmanager
def tuned(
    model: BaseModel,
    tuning: Tuning,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    seed: int,
    targets: Sequence[Target] = TARGETS,
) -> Iterator[Tuned]:
    """The network ready to be trained while inside, and the base model again after. `rank` and what follows it
    are a LoRA's."""
    if tuning == "full_attention":
        with trainable_attention(model) as weights:
            yield Tuned(weights, lambda: {f"{_PREFIX}{k}": w.detach().cpu().clone() for k, w in weights.items()})
    else:
        with new_adapter(model, rank=rank, alpha=alpha, dropout=dropout, seed=seed, targets=targets) as name:
            yield Tuned(parameters(model), partial(exported, model, name))


@contextmanager
def new_adapter(
    model: BaseModel, *, rank: int, alpha: float, dropout: float, seed: int, targets: Sequence[Target] = TARGETS
) -> Iterator[str]:
    """A fresh adapter on the network while inside; yields its name. The seed decides its first weights."""
    with _attached(
        model, LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets))
    ) as name:
        draw = stream("adapter", seed)
        for key, weight in parameters(model).items():
            if "lora_A" in key:
                bound = weight.shape[1] ** -0.5
                weight.data.copy_((torch.rand(weight.shape, generator=draw) * 2 - 1) * bound)
        if not dropout:
            _compute_at_once(model, name)
        yield name


def _compute_at_once(model: BaseModel, name: str) -> None:
    """Each of the adapter's layers as one operation, for as long as the adapter is on."""
    for layer in model.unet.modules():
        if isinstance(layer, LoraLayer):
            base: Any = layer.get_base_layer()
            down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
            layer.forward = partial(
                project, weight=base.weight, bias=base.bias, down=down, up=up, scale=layer.scaling[name]
            )


@contextmanager
def use_adapter(model: BaseModel, prior: Prior) -> Iterator[BaseWeights]:
    """The prior's weights on the network while inside, and its token's meaning in prompts that are encoded there;
    after, the network is the base model again.

    Yields the way back to the base model for a moment inside.
    """
    vectors, weights = split(prior.adapter)
    tensors = {key.removeprefix(_PREFIX): tensor for key, tensor in weights.items()}
    using = _use_lora if any("lora_" in key for key in tensors) else use_attention
    with using(model, tensors) as base_weights, use_token(model, prior.manifest.token, vectors) as unworded:

        @contextmanager
        def base() -> Iterator[None]:
            with base_weights(), unworded():
                yield

        yield base


@contextmanager
def _use_lora(model: BaseModel, tensors: dict[str, Tensor]) -> Iterator[BaseWeights]:
    """The products added to the weights once: an edit costs what it costs the base model."""
    targets = [target for target in TARGETS if any(f".{target}.lora_" in key for key in tensors)]
    weights = {
        name.removesuffix(".weight"): weight.data
        for name, weight in attention_weights(model).items()
        if name.endswith(tuple(f".{target}.weight" for target in targets))
    }
    if not weights or tensors.keys() != {f"{layer}.lora_{part}.weight" for layer in weights for part in "AB"}:
        raise InvalidPrior("the adapter's tensors do not belong to this base model's attention layers")
    merged = {f"{layer}.weight": _merged(weight, tensors, layer) for layer, weight in weights.items()}
    with holding(model, merged) as base_weights:
        yield base_weights


def _merged(weight: Tensor, tensors: Mapping[str, Tensor], layer: str) -> Tensor:
    """W + B A, added in float32."""
    down, up = (tensors[f"{layer}.lora_{part}.weight"].to(weight.device, torch.float32) for part in "AB")
    if up.ndim != 2 or down.ndim != 2 or up.shape[1] != down.shape[0] or (len(up), down.shape[1]) != weight.shape:
        raise InvalidPrior(f"the adapter's {layer} does not fit this base model's attention layer")
    return (weight.float() + up @ down).to(weight.dtype)


def parameters(model: BaseModel) -> dict[str, torch.nn.Parameter]:
    """The adapter's own parameters, float32, by name."""
    return {name: weight for name, weight in model.unet.named_parameters() if "lora_" in name}


def exported(model: BaseModel, name: str) -> dict[str, Tensor]:
    """The adapter as diffusers' `load_lora_weights` reads it, on the CPU, its scale alpha / rank multiplied in."""
    config = model.unet.peft_config[name]
    scale = config.lora_alpha / config.r
    return {
        f"{_PREFIX}{key}": tensor.detach().float().cpu() * (scale if "lora_B" in key else 1.0)
        for key, tensor in get_peft_model_state_dict(model.unet, adapter_name=name).items()
    }


@contextmanager
def _attached(model: BaseModel, config: LoraConfig) -> Iterator[str]:
    unet: Any = model.unet
    if getattr(unet, "_hf_peft_config_loaded", False):
        raise RuntimeError("the network already has an adapter on: leave its `with` block first")
    name = "prior"
    try:
        unet.add_adapter(config, adapter_name=name)
        for weight in parameters(model).values():
            weight.data = weight.data.float()
        yield name
    finally:
        unet.unload_lora()
        unet.requires_grad_(False)
