"""A file that a job produced, with a signed URL."""

from typing import Any

from api.fields import ResponseModel
from api.service import Service
from ledger.artefacts import NewArtefact
from ledger.models import Artefact


class ArtefactBody(ResponseModel):
    """One file. `role` is one of adapter, manifest, snapshot, snapshot_manifest, image, source_mask,
    edit_mask, uncomposited, preview."""

    role: str
    """Purpose of the file in its job."""

    name: str
    """File name that a download gets."""

    content_type: str
    """Media type of the file."""

    size: int
    """Size of the file in bytes."""

    sha256: str
    """SHA-256 of the file, in hexadecimal. Compare it after a download."""

    details: dict[str, Any]
    """Facts about the file, such as the `target_prompt` and `seed` of an edited image."""

    url: str
    """Signed URL of the file, valid for a few minutes. Each answer has a new one: read it again instead of storing
    it."""


def new_artefact_body(service: Service, file: NewArtefact) -> ArtefactBody:
    """The body of a file that an unfinished job has stored, with a new URL."""
    return ArtefactBody(
        role=file.role,
        name=file.name,
        content_type=file.content_type,
        size=file.stored.size,
        sha256=file.stored.sha256,
        details=file.details,
        url=service.storage.presign_get(file.stored.key, filename=file.name),
    )


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
