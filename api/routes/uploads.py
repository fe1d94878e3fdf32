"""Uploads: files that go straight into the storage, past this API, to become images then."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from api.fields import Moment, RequestModel, ResponseModel
from api.idempotency import Creating
from api.problems import Problem, documented
from api.quota import admit
from ledger import quotas, uploads
from ledger.idempotency import Answer

router = APIRouter(prefix="/uploads", tags=["images"])


class NewUpload(RequestModel):
    """The file that will be sent: what it is, and exactly how many bytes it has."""

    content_type: Literal["image/jpeg", "image/png", "image/webp"]
    size: Annotated[int, Field(ge=1, le=2**31 - 1)]


class UploadBody(ResponseModel):
    """PUT the file to `url`, with these `headers` and nothing else; no API key goes there.

    Then `POST /v1/images` with the id as `upload_id`. What is not used is forgotten some time after `expires_at`.
    """

    id: str
    content_type: str
    size: int
    url: Annotated[str, Field(description="Signed, and good until `expires_at`.")]
    headers: dict[str, str]
    expires_at: Moment
    created_at: Moment


@router.post(
    "",
    status_code=201,
    operation_id="create_upload",
    response_model=UploadBody,
    responses=documented("idempotency_key_in_flight", "image_too_large", "idempotency_key_reused", "too_many_uploads"),
)
def create_upload(asked: NewUpload, once: Creating) -> Response:
    """Announce a file, and be told where to PUT it."""
    settings, storage = once.service.settings, once.service.storage
    if asked.size > settings.max_upload_bytes:
        raise Problem("image_too_large", f"send at most {settings.max_upload_bytes} bytes", param="size")
    limits: dict[str, str] = {}

    def create(session: Session) -> Answer:
        upload = uploads.create(
            session,
            once.project_id,
            content_type=asked.content_type,
            size=asked.size,
            seconds=settings.signed_url_seconds,
        )
        limits.update(admit(quotas.of_uploads(session, once.project_id, settings)))
        body = UploadBody(
            id=upload.id,
            content_type=upload.content_type,
            size=upload.size,
            url=storage.presign_put(uploads.file_key(once.project_id, upload.id), upload.content_type, upload.size),
            headers={"Content-Type": upload.content_type},
            expires_at=upload.expires_at,
            created_at=upload.created_at,
        )
        return Answer(201, body.model_dump(mode="json"))

    answer = once(create)
    return JSONResponse(answer.body, answer.status, answer.headers | limits)
