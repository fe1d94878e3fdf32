"""The networks and the tokenizer of a klein folder: checked, and loaded from safetensors files only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from safetensors import SafetensorError
from transformers import Qwen2TokenizerFast, Qwen3ForCausalLM

from lipe_core.backbone import check_tensors, load_network, reason
from lipe_core.checkpoint.flux2_layout import check_layout
from lipe_core.errors import InvalidModel

_NETWORKS: dict[str, Any] = {
    "text_encoder": Qwen3ForCausalLM,
    "transformer": Flux2Transformer2DModel,
    "vae": AutoencoderKLFlux2,
}


@dataclass(frozen=True)
class Components:
    """The folder's objects."""

    transformer: Flux2Transformer2DModel
    vae: AutoencoderKLFlux2
    tokenizer: Qwen2TokenizerFast
    text_encoder: Qwen3ForCausalLM


def check_folder(folder: Path, name: str, *, allow_distilled: bool = False) -> None:
    """Check that the folder holds a klein with every tensor in its shape, without reading the tensors.

    `name` is what the user called the base model. Raises InvalidModel with one sentence that says what to do.
    """
    check_layout(folder, name, allow_distilled=allow_distilled)
    for component, network in _NETWORKS.items():
        check_tensors(folder, component, network, name)


def load_components(folder: Path, name: str, dtype: torch.dtype) -> Components:
    """Load a checked folder. The VAE runs in bfloat16 or float32, as that of SDXL."""
    vae_dtype = torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
    try:
        networks = {
            component: load_network(folder, component, network, vae_dtype if component == "vae" else dtype)
            for component, network in _NETWORKS.items()
        }
        tokenizer = Qwen2TokenizerFast.from_pretrained(folder / "tokenizer")
    except (OSError, ValueError, TypeError, KeyError, ImportError, SafetensorError) as error:
        raise InvalidModel(f"the base model {name} cannot be loaded: {reason(error)}") from error
    return Components(tokenizer=tokenizer, **networks)
