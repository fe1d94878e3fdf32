"""A file that a job produced, with a signed URL."""

from typing import Annotated, Any

from pydantic import Field

from api.fields import ResponseModel
from api.service import Service
from ledger.models import Artefact


class ArtefactBody(ResponseModel):
    """One file. `role` is one of adapter, manifest, image, source_mask, edit_mask, uncomposited, preview."""

    role: str
    name: str
    content_type: str
    size: int
    sha256: str
    details: dict[str, Any]
    url: Annotated[str, Field(description="Signed and valid for a few minutes; each answer has a new one.")]


def artefact_body(service: Service, artefact: Artefact) -> ArtefactBody:
    """The body of a row, with a new URL."""
    return ArtefactBody(
        role=artefact.role,
        name=artefact.name,
        content_type=artefact.content_type,
        size=artefact.size,
        sha256=artefact.sha256,
        details=artefact.details,
        url=service.storage.presign_get(artefact.key, filename=artefact.name),
    )
