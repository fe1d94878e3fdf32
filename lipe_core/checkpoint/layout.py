"""Check of a base model's folder against SDXL (https://arxiv.org/abs/2307.01952), by its configuration files.

Each check raises InvalidModel with one sentence: the fault, and the advice after a colon. The sizes of the networks are
free, because the miniature is an SDXL, too; the way in which the networks fit together is not.
"""

import re
from pathlib import Path
from typing import Any, NoReturn

from lipe_core.checkpoint import flux2_layout
from lipe_core.checkpoint.weights import STEMS, read_json, weight_files
from lipe_core.errors import InvalidModel

_USE_SDXL = "use SDXL base 1.0 or a model that was fine-tuned from it"
_DOWNLOAD = "copy or download the whole folder again"
_TO_SAFETENSORS = (
    "convert it once with StableDiffusionXLPipeline.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER) of diffusers, "
    "and name the new folder"
)
_TO_FOLDER = (
    "convert it once, on a machine with internet access, with "
    "StableDiffusionXLPipeline.from_single_file(FILE).save_pretrained(FOLDER) of diffusers, and name the folder"
)
_FAMILIES = {
    "StableDiffusionPipeline": "Stable Diffusion 1 or 2",
    "StableDiffusionInpaintPipeline": "a Stable Diffusion 1 or 2 inpainting model",
    "StableDiffusion3Pipeline": "Stable Diffusion 3",
    "FluxPipeline": "Flux",
}
_SCHEDULERS = {
    "LCMScheduler": "a few-step model (LCM)",
    "TCDScheduler": "a few-step model (TCD)",
    "EDMEulerScheduler": "a model with EDM's noise levels",
    "EDMDPMSolverMultistepScheduler": "a model with EDM's noise levels",
}
_FEW_STEPS = re.compile(r"(?<![a-z])(turbo|lightning|lcm|hyper-?sd(?:xl)?|dmd2?)(?![a-z])", re.IGNORECASE)
_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
_SPACINGS = ("leading", "trailing", "linspace")


def is_hub_id(base_model: str) -> bool:
    """Whether the text has the form of a repository of the model hub, such as org/name."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", base_model) is not None


def check_base_model(base_model: str, *, allow_distilled: bool = False) -> None:
    """Check the setting LIPE_BASE_MODEL. The rest of a hub id is checked by `load`, when the files are there.

    With `allow_distilled`, a distilled klein is not refused for being one.
    """
    folder = Path(base_model)
    if not folder.exists() and is_hub_id(base_model):
        flux2_layout.check_name(base_model, allow_distilled=allow_distilled)
    elif flux2_layout.is_flux(folder):
        flux2_layout.check_layout(folder, base_model, allow_distilled=allow_distilled)
    else:
        check_layout(folder, base_model)


def check_layout(folder: Path, name: str) -> None:
    """Check files and configurations; reads no weights. `name` is what the user called the base model."""
    _check_place(folder, name)
    index = read_json(folder / "model_index.json")
    _check_pipeline(index, name)
    _check_files(folder, name)
    unet, vae = (read_json(folder / component / "config.json") for component in ("unet", "vae"))
    _check_unet(unet, vae, name)
    _check_text(folder, unet, name)
    schedule = read_json(folder / "scheduler" / "scheduler_config.json")
    _check_noise_levels(schedule, name)
    names = (Path(name).name, folder.resolve().name, unet.get("_name_or_path"), index.get("_name_or_path"))
    _check_steps(schedule, " ".join(map(str, names)), name)


def _refuse(name: str, fault: str, advice: str = _USE_SDXL) -> NoReturn:
    raise InvalidModel(f"the base model {name} {fault}: {advice}")


def _check_place(folder: Path, name: str) -> None:
    if folder.is_file():
        _refuse(name, "is a single file without tokenizers and configurations", _TO_FOLDER)
    if not folder.is_dir():
        _refuse(name, "does not exist", "set LIPE_BASE_MODEL to the folder or the hub id of an SDXL checkpoint")
    if not (folder / "model_index.json").is_file():
        if any(folder.glob("*.safetensors")):
            _refuse(name, "has single-file weights, but no model_index.json", _TO_FOLDER)
        _refuse(name, "has no model_index.json", "name the folder that has this file, as diffusers writes it")


def _check_pipeline(index: dict[str, Any], name: str) -> None:
    family = str(index.get("_class_name"))
    if not family.startswith("StableDiffusionXL"):
        _refuse(name, f"is {_FAMILIES.get(family, f'of the class {family}')}, not SDXL")
    has_one_encoder = "text_encoder" in index and not (index["text_encoder"] or [None])[0]
    if index.get("requires_aesthetics_score") or has_one_encoder:
        _refuse(name, "is SDXL's refiner, which has one text encoder")


def _check_files(folder: Path, name: str) -> None:
    for component in STEMS:
        if weight_files(folder, component) is None:
            if any([*(folder / component).glob("*.bin"), *(folder / component).glob("*.ckpt")]):
                fault = f"has only pickled weights in {component}, which may run code when they are read"
                _refuse(name, fault, _TO_SAFETENSORS)
            _refuse(name, f"has no safetensors files in {component}", _DOWNLOAD)
    for tokenizer in ("tokenizer", "tokenizer_2"):
        files = folder / tokenizer
        is_complete = (files / "vocab.json").is_file() and (files / "merges.txt").is_file()
        if not is_complete and not (files / "tokenizer.json").is_file():
            _refuse(name, f"has no vocabulary in {tokenizer}", _DOWNLOAD)


def _check_unet(unet: dict[str, Any], vae: dict[str, Any], name: str) -> None:
    channels, latents = unet.get("in_channels"), vae.get("latent_channels")
    if not isinstance(channels, int) or not isinstance(latents, int):
        _refuse(name, "does not state the channels of its unet and vae", _DOWNLOAD)
    if channels == 2 * latents + 1:
        _refuse(name, f"is an inpainting model (its unet has {channels} input channels, not {latents})")
    if not channels == unet.get("out_channels") == latents:
        outputs = unet.get("out_channels")
        _refuse(name, f"has a unet from {channels} to {outputs} channels for a vae with {latents}")
    if unet.get("time_cond_proj_dim"):
        _refuse(name, "is a few-step model (LCM): its unet takes the guidance scale as an input")
    if unet.get("addition_embed_type") != "text_time":
        _refuse(name, "has a unet without SDXL's size conditioning (addition_embed_type is not text_time)")


def _check_text(folder: Path, unet: dict[str, Any], name: str) -> None:
    first, second = (read_json(folder / component / "config.json") for component in ("text_encoder", "text_encoder_2"))
    widths = [first.get("hidden_size"), second.get("hidden_size"), second.get("projection_dim")]
    sizes = [unet.get("addition_time_embed_dim"), unet.get("projection_class_embeddings_input_dim")]
    if not all(isinstance(value, int) for value in [*widths, *sizes]):
        _refuse(name, "does not state the widths of its text encoders and unet", _DOWNLOAD)
    expected = widths[0] + widths[1]  # type: ignore[operator]
    found = unet.get("cross_attention_dim")
    if any(width != expected for width in (found if isinstance(found, list) else [found])):
        _refuse(name, f"has text encoders of width {expected} together, but a unet for {found}")
    if sizes[1] != widths[2] + 6 * sizes[0]:  # type: ignore[operator]
        _refuse(name, "has a unet that does not take SDXL's six sizes and the second encoder's pooled text")


def _check_noise_levels(schedule: dict[str, Any], name: str) -> None:
    scheduler, predicted = str(schedule.get("_class_name")), schedule.get("prediction_type", "epsilon")
    if scheduler.startswith("FlowMatch") or schedule.get("use_flow_sigmas") or predicted == "flow_prediction":
        _refuse(name, "is a flow-matching model, and LIPE needs noise or velocity prediction")
    if scheduler in _SCHEDULERS:
        _refuse(name, f"is {_SCHEDULERS[scheduler]}, by its scheduler {scheduler}")
    if predicted not in ("epsilon", "v_prediction"):
        _refuse(name, f"has prediction_type {predicted}, and LIPE knows epsilon and v_prediction")
    for key, known in (("beta_schedule", _SCHEDULES), ("timestep_spacing", _SPACINGS)):
        if (found := schedule.get(key, known[0])) not in known:
            _refuse(name, f"has {key} {found} in its scheduler, and LIPE knows {', '.join(known)}")


def _check_steps(schedule: dict[str, Any], names: str, name: str) -> None:
    """Refuse distilled models. Their weights have SDXL's shapes, so that only names and schedulers tell them apart."""
    if found := _FEW_STEPS.search(names):
        advice = f"{_USE_SDXL}, or take the word out of the folder's name and _name_or_path if it is one"
        _refuse(name, f"is a few-step model, by the word {found[0]} in its name", advice)
    is_trailing = schedule.get("timestep_spacing") == "trailing" and not schedule.get("rescale_betas_zero_snr")
    if is_trailing and schedule.get("prediction_type", "epsilon") == "epsilon":
        advice = f"{_USE_SDXL}, or set timestep_spacing to leading in scheduler/scheduler_config.json if it is one"
        _refuse(name, "is a few-step model such as Turbo or Lightning, by its trailing timesteps", advice)
