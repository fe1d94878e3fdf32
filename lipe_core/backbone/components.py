"""The networks of a base model's folder: checked by the headers of their files, and loaded from safetensors alone."""

from pathlib import Path
from typing import Any

import torch

from lipe_core.checkpoint.weights import read_json, read_shapes, weight_files
from lipe_core.errors import InvalidModel

_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Names of a VAE's attention in older files, which diffusers reads as the new ones."""


def load_network(folder: Path, component: str, kind: Any, dtype: torch.dtype) -> Any:
    """A frozen network of the class `kind` in evaluation mode."""
    files = weight_files(folder, component)
    network = kind.from_pretrained(
        folder / component, dtype=dtype, use_safetensors=True, variant=files.variant if files else None
    )
    return network.requires_grad_(False).eval()


def check_tensors(folder: Path, component: str, kind: Any, name: str) -> None:
    """Check that the files hold every tensor of the network in its shape, without reading the tensors.

    `name` is what the user called the base model. Raises InvalidModel with one sentence that says what to do.
    """
    files = weight_files(folder, component)
    found: dict[str, tuple[int, ...]] = {}
    for file in files.paths if files else ():
        found |= {_current_name(tensor): shape for tensor, shape in read_shapes(file).items()}
    for tensor, shape in _expected_shapes(folder, component, kind, name).items():
        if tensor not in found:
            fault = f"lacks the tensor {tensor} in {component}"
        elif found[tensor] != shape:
            fault = f"has the tensor {tensor} of {component} in the shape {found[tensor]}, not {shape}"
        else:
            continue
        raise InvalidModel(f"the base model {name} {fault}: use weights and config.json of the same model")


def _expected_shapes(folder: Path, component: str, kind: Any, name: str) -> dict[str, tuple[int, ...]]:
    """The shapes by the component's config.json. The network has no memory, so that this takes a second for SDXL."""
    config, is_text = read_json(folder / component / "config.json"), component.startswith("text_encoder")
    try:
        with torch.device("meta"):
            made = kind(kind.config_class.from_dict(config)) if is_text else kind.from_config(config)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, RuntimeError) as error:
        raise InvalidModel(
            f"the base model {name} has a config.json in {component} that makes no network ({reason(error)}): "
            "copy or download it again"
        ) from error
    tied = {"lm_head.weight"} if is_text else set()  # a text encoder's output is not read
    return {_current_name(name): tuple(value.shape) for name, value in made.state_dict().items() if name not in tied}


def _current_name(tensor: str) -> str:
    """The tensor's name without the differences between versions of the libraries."""
    for old, new in _OLD_NAMES.items():
        tensor = tensor.replace(old, new)
    return tensor.removeprefix("text_model.")


def reason(error: Exception) -> str:
    """The error's message on one line."""
    return " ".join(str(error).split())[:300]
