"""A job's progress as its owner sees it."""

from collections.abc import Mapping
from typing import Any

from api.artefact_body import ArtefactBody
from api.service import Service
from ledger import previews


def shown(service: Service, progress: Mapping[str, Any]) -> dict[str, Any]:
    """The progress with a fresh URL of its preview in place of where that lies."""
    preview = previews.from_progress(progress)
    if preview is None:
        return dict(progress)
    body = ArtefactBody(
        role=preview.role,
        name=preview.name,
        content_type=preview.content_type,
        size=preview.stored.size,
        sha256=preview.stored.sha256,
        details=preview.details,
        url=service.storage.presign_get(preview.stored.key, filename=preview.name),
    )
    return {**progress, previews.FIELD: body.model_dump(mode="json")}
