"""The request body of a change of a subject."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from api import problems
from api.fields import MAX_METADATA, Caption, Id, Name, RequestModel, Text
from api.problems import Problem
from ledger.models import Subject

TRAINED = "priors were trained with it and prompts use it: create another subject"


class SubjectChange(RequestModel):
    """A change of a subject. Fields that are absent or null stay as they are."""

    refused: ClassVar[Mapping[str, str]] = {
        "class_noun": f"cannot be changed, because {TRAINED}",
        "token": f"cannot be changed, because {TRAINED}",
        "category": "cannot be changed, because priors were trained with images of it: create another subject",
        "consent": "cannot be changed here: POST to or DELETE /v1/subjects/{subject_id}/consent",
        "not_a_person": "cannot be changed: create another subject",
        "references": "cannot be changed here: POST to or DELETE from /v1/subjects/{subject_id}/references",
    }

    name: Name | None = None
    """Name for people. Prompts do not use it. Default: unchanged."""

    metadata: (
        dict[Annotated[Text, Field(min_length=1, max_length=64)], Annotated[Text, Field(max_length=512)] | None] | None
    ) = None
    """Your own pairs, merged into the present ones: a pair replaces that of the same key, and a key whose value is null
    is removed. Default: unchanged."""

    captions: dict[Id, Caption | None] | None = None
    """Descriptions of references, by image id; those of other references stay. With null the service writes the caption
    during the next training. Default: unchanged. Give one if the service describes a reference wrongly."""


def check(change: SubjectChange, subject: Subject) -> None:
    """Raise Problem if the subject lacks one of the references, or would have too many metadata."""
    known = {reference.image_id for reference in subject.references}
    for image_id in change.captions or {}:
        if image_id not in known:
            detail = f"{image_id} is no reference of this subject: `references` of the subject lists them"
            raise Problem("not_found", detail, param=f"captions.{image_id}")
    given = change.metadata or {}
    kept = {key for key in subject.user_metadata if key not in given}
    count = len(kept) + sum(value is not None for value in given.values())
    if count > MAX_METADATA:
        detail = f"the subject would have {count} pairs, and {MAX_METADATA} are allowed: remove keys by the value null"
        raise problems.invalid(detail, param="metadata")
