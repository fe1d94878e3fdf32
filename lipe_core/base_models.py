"""Loading of a base model by the backbone that knows its family."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from lipe_core import flux2, sdxl
from lipe_core.backbone import BaseModel
from lipe_core.checkpoint.flux2_layout import is_flux, names_flux
from lipe_core.checkpoint.layout import check_base_model
from lipe_core.quantization import quantize


def load(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    hash_cache: Path | None = None,
    allow_distilled: bool = False,
    bits: int = 16,
) -> BaseModel:
    """Check and load a folder, or a repository of the model hub, from safetensors files only.

    `dtype` is the network's; the VAE's is bfloat16 or float32. `hash_cache` is a folder that keeps the hashes of weight
    files. With `allow_distilled`, a distilled klein is loaded, and the log warns of it. With 8 `bits`, linear layers
    of all networks but the VAE are rounded to 8-bit integers (`quantize_linear`). Raises InvalidModel, whose message
    says what to do.
    """
    check_base_model(str(checkpoint), allow_distilled=allow_distilled)
    load_family: Callable[..., BaseModel] = sdxl.load
    if names_flux(str(checkpoint)):
        load_family = partial(flux2.load, allow_distilled=allow_distilled)
    if bits == 16:
        return load_family(checkpoint, revision=revision, device=device, dtype=dtype, hash_cache=hash_cache)
    # In main memory, so that a small GPU never holds the full weights.
    model = load_family(checkpoint, revision=revision, device="cpu", dtype=dtype, hash_cache=hash_cache)
    quantize_linear(model)
    for network in model.networks:
        network.to(device)
    return replace(model, device=torch.device(device))


def quantize_linear(model: BaseModel, dtype: torch.dtype = torch.int8) -> None:
    """Round the model's linear layers to numbers of 8 bits.

    In the network these are the layers of transformer blocks, most of its weights, and in text encoders all. The VAE,
    convolutions, norms and embeddings keep their precision.
    """
    for network in model.networks:
        if network is model.network:
            quantize(network, dtype, model.is_adaptable)
        elif network is not model.vae:
            quantize(network, dtype)


def check_folder(folder: Path, name: str, *, allow_distilled: bool = False) -> None:
    """Check that the folder holds a base model with every tensor in its shape, without reading the tensors.

    `name` is what the user called the base model. Raises InvalidModel with one sentence that says what to do.
    """
    if is_flux(folder):
        flux2.check_folder(folder, name, allow_distilled=allow_distilled)
    else:
        sdxl.check_folder(folder, name)
