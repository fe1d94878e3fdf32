"""The base model's files, and the memory that its weights take."""

from collections.abc import Iterator
from pathlib import Path

from cli.base_model_files import count_parameters, find_faults, is_hub_id, weight_files
from cli.doctor.finding import Finding, failed, fine, unchecked
from cli.doctor.partial_settings import PartialSettings

PART = "base model"


def base_model_of(partial: PartialSettings) -> str:
    """The base model of the settings; without one, the packaged miniature, which `lipe up` takes."""
    if partial.settings.base_model:
        return partial.settings.base_model
    from cli.embedded.up import miniature_folder  # late: the images of the containers lack the embedded servers

    return str(miniature_folder("checkpoint/unet").parent)


def check_base_model(partial: PartialSettings) -> Iterator[Finding]:
    """One finding for each file that is missing or damaged, or one for a whole checkpoint."""
    if not partial.settings.base_model and not partial.has_no_server:
        advice = "workers need it: set it to the folder or the hub id of an SDXL checkpoint"
        yield failed(PART, f"LIPE_BASE_MODEL is not set, and {advice}")
        return
    base_model = base_model_of(partial)
    if is_hub_id(base_model):
        yield unchecked(PART, f"{base_model} is a hub id: the first worker downloads it, or use a folder")
        return
    faults = list(find_faults(base_model))
    yield from (failed(PART, f"{fault}: copy or download the checkpoint again") for fault in faults)
    if faults:
        return
    files = f"{len(weight_files(Path(base_model)))} weight files in {base_model}, all complete"
    if not partial.settings.base_model:
        files += "; it is the miniature, which knows only its drawn world: for photos, set LIPE_BASE_MODEL"
    yield fine(PART, files)


def weight_bytes(base_model: str, bytes_each: int) -> int | None:
    """The memory of the weights if a parameter takes `bytes_each`; None if the checkpoint is damaged or not here."""
    if is_hub_id(base_model) or any(find_faults(base_model)):
        return None
    return bytes_each * sum(map(count_parameters, weight_files(Path(base_model))))
