"""LoRAs of other programs: their tensors under this project's names, with the scale alpha / rank multiplied in.

Three programs name the same layer differently: kohya's trainer, with the block names of diffusers or with those of
SDXL's first release; diffusers with peft; and diffusers before peft.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lipe_core.adapters.lora import linear_weights
from lipe_core.adapters.prior import Manifest, Prior
from lipe_core.adapters.textual_inversion import split_vectors, use_token
from lipe_core.backbone import BaseModel
from lipe_core.errors import InvalidPrior
from lipe_core.subject import Subject

MAX_SHOWN = 5
PEFT_METADATA = "lora_adapter_metadata"
"""The entry of a safetensors header in which diffusers stores peft's settings as JSON."""

_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32})
_WEIGHT = re.compile(r"(.+?)[._]lora(?:_linear_layer)?[._](down|up|A|B)(?:\.default(?:_\d+)?)?\.weight")
_ALPHA = re.compile(r"(.+?)(?:\.lora)?\.(alpha)")
_PARTS = {"A": "down", "B": "up"}


def import_lora(model: BaseModel, subject: Subject, file: Path) -> Prior:
    """The LoRA in a safetensors file as a prior of the subject. Raises InvalidPrior, which says what does not fit."""
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError) as error:
        raise InvalidPrior(f"the file cannot be read as safetensors ({error}): export the LoRA again") from error
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    vectors, weights = split_vectors(tensors)
    _check_vectors(model, subject, vectors)
    adapter = convert_lora(model, weights, metadata)
    ranks = sorted({len(tensor) for name, tensor in adapter.items() if ".lora_A." in name})
    manifest = Manifest(
        token=subject.token,
        class_noun=subject.class_noun,
        base_model=model.name,
        revision=model.revision,
        fingerprint=model.fingerprint,
        captions=(),
        class_prompts=(),
        config={"imported": {"file_sha256": digest, "layers": len(adapter) // 2, "ranks": ranks}},
        losses=(),
    )
    return Prior(adapter | vectors, manifest)


def _check_vectors(model: BaseModel, subject: Subject, vectors: Mapping[str, Tensor]) -> None:
    """The token's embeddings, which a prior of this project may have. Raises InvalidPrior."""
    with use_token(model, subject.token, vectors):  # checks their shapes
        pass
    if not all(tensor.dtype in _DTYPES and torch.isfinite(tensor).all() for tensor in vectors.values()):
        raise InvalidPrior("the token's embeddings have values that are NaN or infinite: train them again")


def convert_lora(
    model: BaseModel, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> dict[str, Tensor]:
    """The tensors with a prior's names, float32. `metadata` is that of the file's header.

    Raises InvalidPrior for a tensor that belongs to no linear layer of the network's transformer blocks. It is also
    raised for another shape, for a part of a layer, and for values that are not finite.
    """
    prefix = model.adapter_prefix
    alpha, weights = _default_alpha(metadata or {}, prefix), linear_weights(model)
    converted: dict[str, Tensor] = {}
    for layer, parts in sorted(_by_layer(model, tensors).items()):
        if not parts.keys() >= {"down", "up"}:
            raise InvalidPrior(f"the LoRA has only a part of the layer {layer}: export it again")
        down, up = _matrix(parts["down"], layer), _matrix(parts["up"], layer)
        shape, found = tuple(weights[layer].shape), (len(up), down.shape[1])
        if not len(down) or up.shape[1] != len(down) or found != shape:
            sizes = f"{found[0]} x {found[1]}, not {shape[0]} x {shape[1]}"
            raise InvalidPrior(f"the LoRA's layer {layer} is {sizes}: it was trained on another base model")
        up = up * _scale(parts.get("alpha"), alpha, len(down), layer)
        if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
            raise InvalidPrior(f"the LoRA's layer {layer} has values that are NaN or infinite: train it again")
        converted |= {f"{prefix}{layer}.lora_A.weight": down, f"{prefix}{layer}.lora_B.weight": up}
    if not converted:
        raise InvalidPrior("the file has no tensors: export the LoRA again")
    return converted


def _by_layer(model: BaseModel, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each layer: "down", "up" and perhaps "alpha"."""
    layers, found, unknown = _layers_by_name(model), defaultdict[str, dict[str, Tensor]](dict), []
    for name, tensor in tensors.items():
        match = _WEIGHT.fullmatch(name) or _ALPHA.fullmatch(name)
        layer = layers.get(match[1]) if match else None
        if match is None or layer is None:
            unknown.append(name)
            continue
        part = _PARTS.get(match[2], match[2])
        if part in found[layer]:
            raise InvalidPrior(f"the LoRA has two tensors for the {part} of {layer}: it may be two LoRAs in one file")
        found[layer][part] = tensor
    if unknown:
        advice = (
            "A prior can be a plain LoRA (not LoCon, LoHa, LoKr or DoRA) on linear layers of this base model's "
            "transformer blocks, without text encoders (kohya: --network_train_unet_only)"
        )
        if not found:
            advice = (
                f"None of its tensors belongs to {model.name}, a base model of the family {model.family}: import the "
                "LoRA for the base model that it was trained on"
            )
        names = ", ".join(sorted(unknown)[:MAX_SHOWN])
        raise InvalidPrior(f"the file has {len(unknown)} tensors that cannot be imported, such as {names}. {advice}")
    return found


def _layers_by_name(model: BaseModel) -> dict[str, str]:
    """The layers of the network by each name that a program gives them."""
    return {name: layer for layer in linear_weights(model) for name in model.lora_names(layer)}


def _matrix(tensor: Tensor, layer: str) -> Tensor:
    """The weight as a matrix, float32. A convolution of one pixel is a matrix, too."""
    if tensor.dtype not in _DTYPES:
        raise InvalidPrior(f"the LoRA's layer {layer} is {tensor.dtype}: export it as float16, bfloat16 or float32")
    if tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
        tensor = tensor.flatten(1)
    if tensor.ndim != 2:
        raise InvalidPrior(f"the LoRA's layer {layer} has {tensor.ndim} dimensions, not 2: it is no plain LoRA")
    return tensor.float()


def _scale(alpha: Tensor | None, default_alpha: float | None, rank: int, layer: str) -> float:
    if alpha is None:
        return 1.0 if default_alpha is None else default_alpha / rank
    if alpha.numel() != 1:
        raise InvalidPrior(f"the LoRA's alpha of {layer} is no single number: export it again")
    return float(alpha) / rank


def _default_alpha(metadata: Mapping[str, str], prefix: str) -> float | None:
    """The alpha of all layers in peft's settings, or None. Raises InvalidPrior for a kind of LoRA that differs."""
    if PEFT_METADATA not in metadata:
        return None
    try:
        settings = json.loads(metadata[PEFT_METADATA])
        alpha = settings.get(f"{prefix}lora_alpha")
        default_alpha = None if alpha is None else float(alpha)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidPrior("the settings in the LoRA's header cannot be read: export it again") from error
    for name in ("use_dora", "use_rslora", "alpha_pattern"):
        if settings.get(f"{prefix}{name}"):
            raise InvalidPrior(f"the LoRA uses peft's {name}, which cannot be imported: train a plain LoRA")
    return default_alpha
