"""The networks, tokenizers and scheduler of a base model's folder: checked, and loaded from safetensors files only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lipe_core.backbone import check_tensors, load_network, reason
from lipe_core.checkpoint.layout import check_layout
from lipe_core.checkpoint.weights import read_json
from lipe_core.errors import InvalidModel

_NETWORKS: dict[str, Any] = {
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
}


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
    for component, network in _NETWORKS.items():
        check_tensors(folder, component, network, name)


def load_components(folder: Path, name: str, dtype: torch.dtype) -> Components:
    """Load a checked folder. The VAE runs in bfloat16 or float32, because SDXL's overflows to NaN in float16."""
    vae_dtype = torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
    try:
        networks = {
            component: load_network(folder, component, network, vae_dtype if component == "vae" else dtype)
            for component, network in _NETWORKS.items()
        }
        tokenizers = [CLIPTokenizer.from_pretrained(folder / part) for part in ("tokenizer", "tokenizer_2")]
        scheduler = DDIMScheduler.from_config(read_json(folder / "scheduler" / "scheduler_config.json"))
    except (OSError, ValueError, TypeError, KeyError, ImportError, SafetensorError) as error:
        raise InvalidModel(f"the base model {name} cannot be loaded: {reason(error)}") from error
    return Components(
        unet=networks["unet"],
        vae=networks["vae"],
        tokenizers=(tokenizers[0], tokenizers[1]),
        text_encoders=(networks["text_encoder"], networks["text_encoder_2"]),
        scheduler=scheduler,
        zero_empty_prompt=bool(read_json(folder / "model_index.json").get("force_zeros_for_empty_prompt", True)),
    )
