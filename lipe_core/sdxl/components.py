"""The networks, tokenizers and scheduler of a base model's folder: checked, and loaded from safetensors files only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lipe_core.checkpoint.layout import check_layout
from lipe_core.checkpoint.weights import read_json, read_shapes, weight_files
from lipe_core.errors import InvalidModel

_NETWORKS: dict[str, Any] = {
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
}
_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Names of the VAE's attention in older files, which diffusers reads as the new ones."""


@dataclass(frozen=True)
class Components:
    """The folder's objects. `zero_empty_prompt` is the pipeline's `force_zeros_for_empty_prompt`."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer]
    text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection]
    scheduler: DDIMScheduler
    zero_empty_prompt: bool


def check_folder(folder: Path, name: str) -> None:
    """Check that the folder holds an SDXL with every tensor in its shape, without reading the tensors.

    `name` is what the user called the base model. Raises InvalidModel with one sentence that says what to do.
    """
    check_layout(folder, name)
    for component in _NETWORKS:
        _check_tensors(folder, component, name)


def load_components(folder: Path, name: str, dtype: torch.dtype) -> Components:
    """Load a checked folder. The VAE runs in bfloat16 or float32, because SDXL's overflows to NaN in float16."""
    vae_dtype = torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
    try:
        networks = {
            component: _load_network(folder, component, vae_dtype if component == "vae" else dtype)
            for component in _NETWORKS
        }
        tokenizers = [CLIPTokenizer.from_pretrained(folder / part) for part in ("tokenizer", "tokenizer_2")]
        scheduler = DDIMScheduler.from_config(read_json(folder / "scheduler" / "scheduler_config.json"))
    except (OSError, ValueError, TypeError, KeyError, ImportError, SafetensorError) as error:
        raise InvalidModel(f"the base model {name} cannot be loaded: {_reason(error)}") from error
    return Components(
        unet=networks["unet"],
        vae=networks["vae"],
        tokenizers=(tokenizers[0], tokenizers[1]),
        text_encoders=(networks["text_encoder"], networks["text_encoder_2"]),
        scheduler=scheduler,
        zero_empty_prompt=bool(read_json(folder / "model_index.json").get("force_zeros_for_empty_prompt", True)),
    )


def _load_network(folder: Path, component: str, dtype: torch.dtype) -> Any:
    files = weight_files(folder, component)
    network = _NETWORKS[component].from_pretrained(
        folder / component, dtype=dtype, use_safetensors=True, variant=files.variant if files else None
    )
    return network.requires_grad_(False).eval()


def _check_tensors(folder: Path, component: str, name: str) -> None:
    files = weight_files(folder, component)
    found: dict[str, tuple[int, ...]] = {}
    for file in files.paths if files else ():
        found |= {_current_name(tensor): shape for tensor, shape in read_shapes(file).items()}
    for tensor, shape in _expected_shapes(folder, component, name).items():
        if tensor not in found:
            fault = f"lacks the tensor {tensor} in {component}"
        elif found[tensor] != shape:
            fault = f"has the tensor {tensor} of {component} in the shape {found[tensor]}, not {shape}"
        else:
            continue
        raise InvalidModel(f"the base model {name} {fault}: use weights and config.json of the same model")


def _expected_shapes(folder: Path, component: str, name: str) -> dict[str, tuple[int, ...]]:
    """The shapes by the component's config.json. The network has no memory, so that this takes a second for SDXL."""
    config, network = read_json(folder / component / "config.json"), _NETWORKS[component]
    try:
        with torch.device("meta"):
            if component.startswith("text_encoder"):
                made = network(CLIPTextConfig.from_dict(config))
            else:
                made = network.from_config(config)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, RuntimeError) as error:
        raise InvalidModel(
            f"the base model {name} has a config.json in {component} that makes no network ({_reason(error)}): "
            "copy or download it again"
        ) from error
    return {_current_name(tensor): tuple(value.shape) for tensor, value in made.state_dict().items()}


def _current_name(tensor: str) -> str:
    """The tensor's name without the differences between versions of the libraries."""
    for old, new in _OLD_NAMES.items():
        tensor = tensor.replace(old, new)
    return tensor.removeprefix("text_model.")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
