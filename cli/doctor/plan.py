"""The lines of `lipe doctor` that plan the GPU's memory for the base model and the card of this machine."""

from collections.abc import Callable
from pathlib import Path

from cli.doctor.base_model import base_model_of
from cli.doctor.finding import Finding, plan, unchecked
from cli.doctor.memory_counts import count_files, read_counts
from cli.doctor.memory_plan import MemoryPlan
from cli.doctor.partial_settings import PartialSettings
from lipe_core.checkpoint.layout import check_base_model
from lipe_core.errors import InvalidModel

LINES: dict[str, Callable[[MemoryPlan], str]] = {
    "captioning": MemoryPlan.captioning_line,
    "training": MemoryPlan.training_line,
    "editing": MemoryPlan.editing_line,
    "workers": MemoryPlan.workers_line,
}
"""Each phase, and its line."""


def plan_phase(part: str, partial: PartialSettings) -> Finding:
    """The line of one phase."""
    try:
        found = _plan(partial)
    except ImportError:
        return unchecked(part, "torch cannot be imported")
    except (InvalidModel, ValueError):
        return unchecked(part, "it needs a usable base model: see the line `base model`")
    if found is None:
        return unchecked(part, "the base model is a hub id, whose size is known after the download")
    return plan(part, LINES[part](found))


def _plan(partial: PartialSettings) -> MemoryPlan | None:
    """The plan; None for a hub id. Raises ImportError, InvalidModel and ValueError."""
    from lipe_core.recipe import load_recipe  # late: it imports torch

    base_model = base_model_of(partial)
    check_base_model(base_model)
    folder = Path(base_model)
    if not folder.is_dir():
        return None
    settings = load_recipe(folder).sections()["prior"]
    counts = read_counts(folder, settings.rank, settings.targets)
    return MemoryPlan(counts, settings.rank, _count_captioner(partial.settings.captioner), _card_bytes(partial))


def _count_captioner(captioner: str | None) -> int | None:
    if not captioner:
        return 0
    try:
        return count_files(Path(captioner)) or None
    except InvalidModel:
        return None


def _card_bytes(partial: PartialSettings) -> int | None:
    """All memory of the GPU that a worker would use, which is the first; None without one."""
    import torch

    if partial.settings.device == "cpu" or not torch.cuda.is_available():
        return None
    return int(torch.cuda.mem_get_info()[1])
