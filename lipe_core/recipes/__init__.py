"""The recipes that LIPE ships, a JSON file each, and the choice of one by the base model's architecture and training.

A file has the layout of a base model's own `lipe.json`. docs/sdxl-recipe.md has the reason of each value for SDXL,
docs/miniature.md that of the miniature's, and docs/backbones.md that of FLUX.2's.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from lipe_core.checkpoint.flux2_layout import names_flux
from lipe_core.checkpoint.weights import read_json
from lipe_core.errors import InvalidModel
from lipe_core.model_card import read_card

SDXL_BASE, SDXL_FINE_TUNE, MINIATURE, FLUX2 = "sdxl-base", "sdxl-fine-tune", "miniature", "flux2-klein-base"
NAMES = (SDXL_BASE, SDXL_FINE_TUNE, MINIATURE, FLUX2)
MINIATURE_TAG = "lipe-miniature"
_BASE = "stable-diffusion-xl-base-1.0"


def recipe_name(checkpoint: str | Path) -> str:
    """The name of the recipe for a base model.

    FLUX.2 is known by the class of its pipeline, or by its hub id. The miniature's model card has its tag. SDXL base is
    known by its hub id, by the same name of a folder, or by the name in `model_index.json`; a folder with another name
    counts as a model that was fine-tuned from it.
    """
    folder = Path(checkpoint)
    if _is_flux(checkpoint):
        return FLUX2
    if MINIATURE_TAG in read_card(folder).tags:
        return MINIATURE
    names = (str(checkpoint), _name_or_path(folder))
    return SDXL_BASE if any(name.rstrip("/").endswith(_BASE) for name in names) else SDXL_FINE_TUNE


def shipped(name: str) -> Mapping[str, Any]:
    """The sections of a shipped recipe. Raises KeyError for an unknown name."""
    if name not in NAMES:
        raise KeyError(name)
    content: dict[str, Any] = json.loads((files(__name__) / f"{name}.json").read_text())
    return content


def _is_flux(checkpoint: str | Path) -> bool:
    try:
        return names_flux(str(checkpoint))
    except InvalidModel:  # an index that cannot be read, which is refused elsewhere
        return False


def _name_or_path(folder: Path) -> str:
    try:
        return str(read_json(folder / "model_index.json").get("_name_or_path", ""))
    except InvalidModel:  # a hub id, or a folder that is refused elsewhere
        return ""
