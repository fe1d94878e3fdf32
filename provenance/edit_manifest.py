"""The manifest of an edited image, as the C2PA specification 2.x (section 18) defines actions and ingredients."""

from dataclasses import dataclass
from typing import Any

EDITED_BY_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""The IPTC digital source type of an image that combines captured and generated parts."""
EDIT_ASSERTION = "org.lipe.edit"
"""The label of the assertion with LIPE's own facts."""
WATERMARKED = {"action": "c2pa.watermarked.unbound", "description": "an invisible watermark in the edited region"}
"""The action for a watermark that leads to no manifest."""
LABELLED = {"action": "c2pa.addedText", "description": "a visible label that says that the image was edited"}
SOURCE = "source"
"""The id of the ingredient: the image that was edited."""
UPLOADED_IMAGE = {"title": "uploaded image", "relationship": "parentOf", "instance_id": SOURCE}
"""The ingredient of an upload without a manifest of its own."""


@dataclass(frozen=True)
class Region:
    """A rectangle in pixels, with its origin at the image's top left."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class EditFacts:
    """The facts of one edited image. `region` is None if every pixel may have changed.

    `label` is the rectangle of a visible label, if there is one.
    `prompt` is None unless the user asked to state it. `adapters` are the SHA-256 of the priors' weights, and
    `base_model` is the fingerprint of the base model's. `source_sha256` is that of the edited image's stored file.
    """

    edit_id: str
    version: str
    source_sha256: str
    base_model: str
    adapters: tuple[str, ...]
    method: str
    has_watermark: bool = False
    label: Region | None = None
    region: Region | None = None
    prompt: str | None = None


def definition(facts: EditFacts, name: str, content_type: str) -> dict[str, Any]:
    """The manifest definition for the library. `name` is the file's name."""
    software = {"name": "LIPE", "version": facts.version}
    edited: dict[str, Any] = {
        "action": "c2pa.edited",
        "digitalSourceType": EDITED_BY_MODEL,
        "softwareAgent": software,
        "parameters": {"ingredientIds": [SOURCE]},
        **({"changes": [_change(facts.region, "the region that a model may change")]} if facts.region else {}),
    }
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [SOURCE]}}
    return {
        "claim_generator_info": [software],
        "title": name,
        "format": content_type,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [opened, edited, *_marks(facts)]}},
            {"label": EDIT_ASSERTION, "data": _own_facts(facts)},
        ],
    }


def _marks(facts: EditFacts) -> list[dict[str, Any]]:
    labels = [{**LABELLED, "changes": [_change(facts.label, "the label")]}] if facts.label else []
    return [WATERMARKED] * facts.has_watermark + labels


def _change(region: Region, description: str) -> dict[str, Any]:
    rectangle = {
        "type": "rectangle",
        "unit": "pixel",
        "origin": {"x": region.left, "y": region.top},
        "width": region.width,
        "height": region.height,
    }
    return {"region": [{"type": "spatial", "shape": rectangle}], "description": description}


def _own_facts(facts: EditFacts) -> dict[str, Any]:
    return {
        "edit_id": facts.edit_id,
        "source_sha256": facts.source_sha256,
        "base_model_fingerprint": facts.base_model,
        "adapter_sha256": list(facts.adapters),
        "method": facts.method,
        **({"prompt": facts.prompt} if facts.prompt is not None else {}),
    }
