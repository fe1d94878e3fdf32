"""Previews of a running job, with signed URLs."""

from collections.abc import Mapping
from typing import Any

from api.artefact_body import ArtefactBody
from api.service import Service
from ledger import previews


def with_preview_url(service: Service, progress: Mapping[str, Any]) -> dict[str, Any]:
    """The progress, its preview's storage key replaced by a fresh signed URL."""
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
