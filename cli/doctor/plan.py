"""The lines of `lipe doctor` that plan the GPU's memory for the base model and the card of this machine."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.doctor.base_model import base_model_of
from cli.doctor.finding import Finding, plan, unchecked
from cli.doctor.memory_counts import KLEIN, SDXL, count_files, read_counts
from cli.doctor.memory_plan import MemoryPlan
from cli.doctor.partial_settings import PartialSettings
from cli.doctor.seconds import Work, seconds_line
from lipe_core.checkpoint.flux2_layout import names_flux
from lipe_core.checkpoint.layout import check_base_model
from lipe_core.errors import InvalidModel

PARTS = ("captioning", "training", "editing", "workers", "seconds")
"""Each phase, and whether workers fit together, and the time."""
EVALUATIONS_PER_STEP = 5.1
"""Network evaluations of a NIMA edit of one row for each of its steps: 102 at 20 steps, see docs/benchmarks.md."""


def plan_phase(part: str, partial: PartialSettings) -> Finding:
    """The line of one phase."""
    try:
        found = memory_plan(partial)
        text = seconds_line(_card_name(partial), _work(partial)) if part == "seconds" else _line(part, found)
    except ImportError:
        return unchecked(part, "torch cannot be imported")
    except (InvalidModel, ValueError):
        return unchecked(part, "it needs a usable base model: see the line `base model`")
    if part == "seconds" and not found.counts.is_sdxl:
        text = "unknown: the FLOPs were counted for SDXL's size only"
    return plan(part, text)


def memory_plan(partial: PartialSettings) -> MemoryPlan:
    """The plan for the base model of the settings and the GPU of this machine. A hub id counts as its published model.

    Raises ImportError, InvalidModel and ValueError.
    """
    base_model = base_model_of(partial)
    check_base_model(base_model, allow_distilled=partial.settings.allow_distilled)
    folder, settings = Path(base_model), _recipe(partial)["prior"]
    published = KLEIN if names_flux(base_model) else SDXL
    counts = read_counts(folder, settings.rank, settings.targets) if folder.is_dir() else published
    return MemoryPlan(
        replace(counts, bits=partial.settings.base_model_bits),
        settings.rank,
        _count_captioner(partial.settings.captioner),
        _card_bytes(partial),
        math.ceil(_recipe(partial)["nima"].steps * (1 - _recipe(partial)["nima"].source_attention_start)),
    )


def _line(part: str, found: MemoryPlan) -> str:
    lines = {
        "captioning": found.captioning_line,
        "training": found.training_line,
        "editing": found.editing_line,
        "workers": found.workers_line,
    }
    return lines[part]()


def _recipe(partial: PartialSettings) -> dict[str, Any]:
    """The settings of the base model's recipe, by section."""
    from lipe_core.recipe import load_recipe  # late: it imports torch

    return load_recipe(base_model_of(partial), partial.settings.recipe).sections()


def _work(partial: PartialSettings) -> Work:
    recipe = _recipe(partial)
    prior, images, edit = recipe["prior"], recipe["regularization"], recipe["nima"]
    return Work(
        training_steps=prior.steps,
        training_rows=prior.batch_size + prior.preservation_batch_size,
        images=images.count,
        image_steps=images.steps,
        edit_evaluations=round(EVALUATIONS_PER_STEP * edit.steps),
    )


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


def _card_name(partial: PartialSettings) -> str | None:
    """The name of that GPU."""
    import torch

    return None if _card_bytes(partial) is None else str(torch.cuda.get_device_name())
