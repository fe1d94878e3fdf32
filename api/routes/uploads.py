"""Uploads: files that the client sends to the object storage directly, to create images or priors from them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from api.fields import Moment, RequestModel, ResponseModel
from api.idempotency import IdempotencyDep, json_response
from api.problems import Problem, problem_responses
from api.quota import check_quotas
from api.service import Service
from ledger import quotas, uploads
from ledger.idempotency import Answer
from ledger.models import Upload

router = APIRouter(prefix="/uploads", tags=["images"])


class NewUpload(RequestModel):
    """The file that the client will send: its type and its exact size in bytes."""

    content_type: Literal[
        "image/jpeg", "image/png", "image/webp", "image/heic", "image/heif", "image/avif", "application/x-safetensors"
    ]
    """Media type of the file, which the PUT must send. An image is recognized by its content.
    `application/x-safetensors` announces a LoRA to import."""

    size: Annotated[int, Field(ge=1, le=2**31 - 1)]
    """Exact size of the file in bytes. The storage refuses a file of another size."""


class UploadBody(ResponseModel):
    """PUT the file to `url` with exactly these `headers`, without the API key.

    Then `POST /v1/images` with the id as `upload_id`, or import the file as a prior. Unused uploads are deleted some
    time after `expires_at`.
    """

    id: str
    """Id of the upload, for `upload_id` of `POST /v1/images` or of an import."""

    content_type: str
    """Media type that the request announced."""

    size: int
    """Size in bytes that the request announced."""

    url: str
    """Signed URL for one PUT, valid until `expires_at`."""

    headers: dict[str, str]
    """Headers that the PUT must have, exactly."""

    expires_at: Moment
    """Time at which the URL becomes invalid, in UTC."""

    created_at: Moment
    """Time at which the upload was announced, in UTC."""


@router.post(
    "",
    status_code=201,
    operation_id="create_upload",
    response_model=UploadBody,
    responses=problem_responses(
        "idempotency_key_in_flight", "image_too_large", "lora_too_large", "idempotency_key_reused", "too_many_uploads"
    ),
)
def create_upload(new_upload: NewUpload, idempotent: IdempotencyDep) -> Response:
    """Announce a file and get the URL to PUT it to."""
    settings, limits = idempotent.service.settings, dict[str, str]()
    is_lora = new_upload.content_type == uploads.LORA
    largest = settings.max_import_bytes if is_lora else settings.max_upload_bytes
    if new_upload.size > largest:
        code = "lora_too_large" if is_lora else "image_too_large"
        raise Problem(code, f"send at most {largest} bytes", param="size")
    with idempotent.service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            upload = uploads.create(
                session,
                idempotent.project_id,
                content_type=new_upload.content_type,
                size=new_upload.size,
                seconds=settings.signed_url_seconds,
            )
            limits = check_quotas(quotas.of_uploads(session, idempotent.project_id, settings))
            body = _body(idempotent.service, upload).model_dump(mode="json")
            answer = idempotent.remember(session, Answer(201, body))
    return json_response(answer, limits)


def _body(service: Service, upload: Upload) -> UploadBody:
    key = uploads.file_key(upload.project_id, upload.id)
    return UploadBody(
        id=upload.id,
        content_type=upload.content_type,
        size=upload.size,
        url=service.storage.presign_put(key, upload.content_type, upload.size),
        headers={"Content-Type": upload.content_type},
        expires_at=upload.expires_at,
        created_at=upload.created_at,
    )
