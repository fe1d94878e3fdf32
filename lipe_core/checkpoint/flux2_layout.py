"""Check of a base model's folder against FLUX.2 [klein] base (https://bfl.ai/models/flux-2-klein), by its files.

Each check raises InvalidModel with one sentence: the fault, and the advice after a colon. The sizes of the networks are
free; the way in which they fit together is not.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from lipe_core.checkpoint.weights import FLUX2_STEMS, read_json, read_types, weight_files
from lipe_core.errors import InvalidModel

KLEIN_BASE = "black-forest-labs/FLUX.2-klein-base-4B"
TEXT_LAYERS = (9, 18, 27)
"""The hidden states of the text encoder that the transformer reads, as diffusers' pipeline chooses them."""

_USE_KLEIN = f"use {KLEIN_BASE}, which is Apache-2.0, or an SDXL checkpoint"
_DOWNLOAD = f"download the whole folder of {KLEIN_BASE} again"
_OTHERS = {
    "FluxPipeline": "FLUX.1",
    "FluxKontextPipeline": "FLUX.1 Kontext",
    "FluxFillPipeline": "FLUX.1 Fill",
    "Flux2Pipeline": "FLUX.2 [dev]",
    "Flux2KleinKVPipeline": "FLUX.2 [klein] with cached references, a few-step model",
}
_FLOATS = {"F32", "F16", "BF16"}
_FLUX_NAME = re.compile(r"flux|klein", re.IGNORECASE)
_DISTILLED_NAME = re.compile(r"klein-(?!base)[\w.-]*\d+b", re.IGNORECASE)
_DISTILLED = "is a distilled klein of few steps, which neither trains nor inverts well"
_OTHER_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "shift_terminal", "invert_sigmas")


def is_flux(folder: Path) -> bool:
    """Whether a folder says that it is a model of the FLUX family, or a file or a folder without an index looks so."""
    index = folder / "model_index.json"
    if index.is_file():
        return str(read_json(index).get("_class_name")).startswith("Flux")
    return folder.exists() and bool(folder.suffix == ".gguf" or _FLUX_NAME.search(folder.name))


def names_flux(checkpoint: str) -> bool:
    """Whether a folder's index, or else the hub id, names a model of the FLUX family."""
    return is_flux(Path(checkpoint)) if Path(checkpoint).exists() else _FLUX_NAME.search(checkpoint) is not None


def check_name(base_model: str, *, allow_distilled: bool = False) -> None:
    """Refuse the hub id of a distilled klein before it is downloaded."""
    if not allow_distilled and is_distilled(base_model):
        _refuse_distilled(base_model)


def is_distilled(base_model: str) -> bool:
    """Whether a folder's index, or else the hub id, names a distilled klein. False for other families."""
    if not Path(base_model).exists():
        return _DISTILLED_NAME.search(base_model) is not None
    index = Path(base_model) / "model_index.json"
    return index.is_file() and _says_distilled(read_json(index))


def distilled_warning(base_model: str) -> str:
    """The warning of a distilled klein that is used all the same."""
    return f"the base model {base_model} {_DISTILLED}: expect poor priors and edits, or use {KLEIN_BASE}"


def adapter_targets(projections: Sequence[str], single_blocks: int) -> list[str]:
    """The ends of the names of the layers that have these projections, in double-stream and single-stream blocks.

    Single-stream blocks have fused layers, which contain the block's MLP, too. Without their outputs, users got generic
    subjects.
    """
    fused = ["to_qkv_mlp_proj"] if {"to_q", "to_k", "to_v"} & set(projections) else []
    blocks = range(single_blocks) if "to_out.0" in projections else range(0)
    return [*projections, *fused, *(f"single_transformer_blocks.{number}.attn.to_out" for number in blocks)]


def check_layout(folder: Path, name: str, *, allow_distilled: bool = False) -> None:
    """Check files and configurations; reads no weights. `name` is what the user called the base model."""
    _check_place(folder, name)
    index = read_json(folder / "model_index.json")
    family = str(index.get("_class_name"))
    if family != "Flux2KleinPipeline":
        _refuse(name, f"is {_OTHERS.get(family, f'of the class {family}')}, not FLUX.2 [klein] base", _USE_KLEIN)
    if not allow_distilled and _says_distilled(index):
        _refuse_distilled(name)
    _check_files(folder, name)
    _check_types(folder, name)
    _check_networks(folder, name)
    _check_scheduler(read_json(folder / "scheduler" / "scheduler_config.json"), name)


def _refuse(name: str, fault: str, advice: str = _DOWNLOAD) -> NoReturn:
    raise InvalidModel(f"the base model {name} {fault}: {advice}")


def _refuse_distilled(name: str) -> NoReturn:
    _refuse(name, _DISTILLED, f"use {KLEIN_BASE}, the undistilled one, or --force (LIPE_ALLOW_DISTILLED=true)")


def _says_distilled(index: dict[str, Any]) -> bool:
    if index.get("_class_name") != "Flux2KleinPipeline":
        return False
    return bool(index.get("is_distilled") or _DISTILLED_NAME.search(str(index.get("_name_or_path", ""))))


def _check_place(folder: Path, name: str) -> None:
    if folder.suffix == ".gguf" or (folder.is_dir() and any(folder.glob("*.gguf"))):
        _refuse(name, "is a GGUF file, whose quantized weights cannot be trained", f"use the folder of {KLEIN_BASE}")
    if folder.is_file() or not (folder / "model_index.json").is_file():
        fault = "is a transformer without its text encoder and configurations"
        _refuse(name, fault, f"download the whole folder of {KLEIN_BASE}")


def _check_files(folder: Path, name: str) -> None:
    for component in FLUX2_STEMS:
        if weight_files(folder, component) is None:
            if any((folder / component).glob("*.gguf")):
                _refuse(name, f"has a GGUF file in {component}, whose quantized weights cannot be trained")
            part = "its text encoder" if component == "text_encoder" else f"weights in {component}"
            _refuse(name, f"lacks {part} (no safetensors files in {component})")
    files = folder / "tokenizer"
    is_complete = (files / "vocab.json").is_file() and (files / "merges.txt").is_file()
    if not is_complete and not (files / "tokenizer.json").is_file():
        _refuse(name, "has no vocabulary in tokenizer")
    config = files / "tokenizer_config.json"
    if not (files / "chat_template.jinja").is_file() and not (
        config.is_file() and "chat_template" in read_json(config)
    ):
        _refuse(name, "has no chat template in tokenizer")


def _check_types(folder: Path, name: str) -> None:
    for component in FLUX2_STEMS:
        files = weight_files(folder, component)
        types = {found for file in (files.paths if files else ()) for found in read_types(file)} - {"I64"}
        if quantized := sorted(types - _FLOATS):
            fault = f"has quantized weights ({', '.join(quantized)}) in {component}, which cannot be trained"
            _refuse(name, fault, f"use the bfloat16 files of {KLEIN_BASE}")


def _check_networks(folder: Path, name: str) -> None:
    text, transformer, vae = (read_json(folder / component / "config.json") for component in FLUX2_STEMS)
    numbers = {
        "hidden_size": text, "num_hidden_layers": text, "in_channels": transformer, "joint_attention_dim": transformer,
        "latent_channels": vae,
    }  # fmt: skip
    for key, config in numbers.items():
        if not isinstance(config.get(key), int):
            _refuse(name, f"does not state {key} in its configurations")
    if transformer.get("guidance_embeds"):
        _refuse(name, "takes the guidance scale as an input, as FLUX.2 [dev] does", _USE_KLEIN)
    if text["num_hidden_layers"] < TEXT_LAYERS[-1]:
        layers = text["num_hidden_layers"]
        _refuse(name, f"has a text encoder of {layers} layers, and klein reads number {TEXT_LAYERS[-1]}")
    if transformer["joint_attention_dim"] != len(TEXT_LAYERS) * text["hidden_size"]:
        fault = f"has a text encoder of width {text['hidden_size']}, but a transformer for another one"
        _refuse(name, fault, "use text encoder and transformer of the same model: klein 4B has the small one")
    if transformer["in_channels"] != 4 * vae["latent_channels"]:
        fault = f"has a transformer for {transformer['in_channels']} channels, and a vae of {vae['latent_channels']}"
        _refuse(name, fault)


def _check_scheduler(scheduler: dict[str, Any], name: str) -> None:
    if scheduler.get("_class_name") != "FlowMatchEulerDiscreteScheduler":
        _refuse(name, f"has the scheduler {scheduler.get('_class_name')}, not FlowMatchEulerDiscreteScheduler")
    shifts = scheduler.get("use_dynamic_shifting") and scheduler.get("time_shift_type", "exponential") == "exponential"
    if not shifts or any(scheduler.get(key) for key in _OTHER_SIGMAS):
        _refuse(name, "has a scheduler with another grid than klein's, which is shifted by the number of tokens")
