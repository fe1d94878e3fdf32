"""The model card of a base model's folder: what its author states about it.

The card is the README.md of the model hub. The metadata at its beginning are YAML:
https://huggingface.co/docs/hub/model-cards
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load

from lipe_core.pretrained import public_name

CARD = "README.md"
MAX_NAME = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelCard:
    """The stated name, licence and tags; None and empty without a statement."""

    name: str | None = None
    license: str | None = None
    tags: tuple[str, ...] = ()


def read_card(checkpoint: str | Path) -> ModelCard:
    """The card of a folder. A hub id, and a folder without a readable card, state nothing."""
    stated = _metadata(Path(checkpoint).expanduser() / CARD)
    name, license_name, tags = (stated.get(key) for key in ("model_name", "license", "tags"))
    return ModelCard(
        name=" ".join(name.split())[:MAX_NAME] or None if isinstance(name, str) else None,
        license=license_name if isinstance(license_name, str) else None,
        tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
    )


def model_name(checkpoint: str | Path) -> str:
    """The name for users: the card's `model_name`, or the hub id, or the folder's name without its location."""
    return read_card(checkpoint).name or public_name(checkpoint)


def _metadata(file: Path) -> dict[str, Any]:
    try:
        card = metadata_load(file) if file.is_file() else None
    except Exception as error:  # the parser's errors, which depend on the library that reads YAML
        log.warning("the model card %s cannot be read: %s", file, error)
        return {}
    return card if isinstance(card, dict) else {}
