"""The base model's files, and the memory that its weights take."""

from pathlib import Path

from cli.doctor.finding import Finding, failed, fine, unchecked
from cli.doctor.memory_counts import count_linear
from cli.doctor.partial_settings import PartialSettings
from lipe_core.checkpoint import layout
from lipe_core.checkpoint.flux2_layout import distilled_warning, is_distilled
from lipe_core.checkpoint.weights import count_parameters
from lipe_core.errors import InvalidModel

PART = "base model"


def base_model_of(partial: PartialSettings) -> str:
    """The base model of the settings; without one, the packaged miniature, which `lipe up` takes."""
    if partial.settings.base_model:
        return partial.settings.base_model
    from cli.embedded.up import miniature_folder  # late: the images of the containers lack the embedded servers

    return str(miniature_folder("checkpoint/unet").parent)


def check_base_model(partial: PartialSettings) -> Finding:
    """Files, configurations, and the headers of the weight files, without torch."""
    if not partial.settings.base_model and not partial.has_no_server:
        advice = "workers need it: set it to the folder or the hub id of an SDXL checkpoint"
        return failed(PART, f"LIPE_BASE_MODEL is not set, and {advice}")
    base_model = base_model_of(partial)
    try:
        parameters = _count_parameters(base_model, allow_distilled=partial.settings.allow_distilled)
    except InvalidModel as error:
        return failed(PART, str(error))
    if parameters is None:
        return unchecked(PART, f"{base_model} is a hub id: the first worker downloads it, or use a folder")
    files = f"{base_model}, {parameters:,} parameters in complete weight files"
    if not partial.settings.base_model:
        files += "; it is the miniature, which knows only its drawn world: for photos, set LIPE_BASE_MODEL"
    if is_distilled(base_model):
        files += f"; {distilled_warning(base_model)}"
    return fine(PART, files)


def weight_bytes(base_model: str, bytes_each: int, bits: int) -> int | None:
    """The memory of the weights if a parameter takes `bytes_each`; None if the checkpoint is unusable or not here.

    With 8 `bits`, those of linear layers take one byte.
    """
    try:
        parameters = _count_parameters(base_model, allow_distilled=True)
        linear = count_linear(Path(base_model)) if bits == 8 and parameters is not None else 0
    except InvalidModel:
        return None
    return None if parameters is None else bytes_each * (parameters - linear) + linear


def _count_parameters(base_model: str, *, allow_distilled: bool) -> int | None:
    """The number of parameters in a checked folder; None for a hub id, whose files are not here."""
    layout.check_base_model(base_model, allow_distilled=allow_distilled)
    return count_parameters(Path(base_model)) if Path(base_model).exists() else None
