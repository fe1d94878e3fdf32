"""Images: uploaded files, sanitized on arrival."""

from dataclasses import replace
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api import problems
from api.auth import CallerDep
from api.fields import Id, PathId, RequestModel
from api.idempotency import IdempotencyDep, fingerprint, json_response
from api.image_body import DownloadableImage, ImageBody
from api.image_creation import discard, sanitize, store_image, store_upload
from api.image_formats import NAMES
from api.image_sanitizer import MAX_SIDE
from api.pagination import Listing, PageDep, listing
from api.problems import problem_responses
from api.service import ServiceDep
from ledger import images, uploads

router = APIRouter(prefix="/images", tags=["images"])
FORM, JSON, FILE = "multipart/form-data", "application/json", "application/octet-stream"
"""Media types of requests. The file itself may have any type, as its content decides; client generators know FILE."""
IMAGE_FILE = f"A {NAMES} file with sides of at most {MAX_SIDE} pixels."


class NewImage(RequestModel):
    """An upload whose file was PUT to its URL (`POST /v1/uploads`)."""

    upload_id: Id
    """Id of the upload, whose file must have arrived. Each upload makes one image."""


REQUEST_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary", "description": IMAGE_FILE}},
                }
            }
        }
        | {JSON: {"schema": NewImage.model_json_schema()}}
        | {FILE: {"schema": {"type": "string", "format": "binary", "description": IMAGE_FILE}}},
    }
}


@router.post(
    "",
    status_code=201,
    operation_id="upload_image",
    response_model=ImageBody,
    openapi_extra=REQUEST_BODY,
    responses=problem_responses(
        "not_found",
        "upload_incomplete",
        "upload_used",
        "idempotency_key_in_flight",
        "image_too_large",
        "image_format_unsupported",
        "image_too_many_pixels",
        "image_sides_out_of_range",
        "image_animated",
        "image_unreadable",
        "image_too_complex",
        "idempotency_key_reused",
        "storage_unavailable",
    ),
)
async def upload_image(request: Request, service: ServiceDep, idempotent: IdempotencyDep) -> Response:
    """Send the file as the body or as the field `file` of a form, or name the upload that has it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON:
        new_image = _parse(await request.body())
        answer = await to_thread.run_sync(
            store_upload, idempotent, new_image.upload_id, limiter=service.decoder.limiter
        )
        # The answer is committed: the uploaded file is not needed any more.
        key = uploads.file_key(idempotent.project_id, new_image.upload_id)
        await run_in_threadpool(discard, service, key)
        return json_response(answer)
    content = await _file(request)
    idempotent = replace(idempotent, fingerprint=fingerprint(request, content))  # each form has another boundary
    image = await to_thread.run_sync(sanitize, service, content, limiter=service.decoder.limiter)
    return json_response(await run_in_threadpool(store_image, idempotent, image))


@router.get("", operation_id="list_images", response_model=Listing[ImageBody])
def list_images(service: ServiceDep, caller: CallerDep, window: PageDep) -> Any:
    """The project's images, newest first."""
    with service.begin() as session:
        return listing(images.listing(session, caller.project_id, window), ImageBody.model_validate)


@router.get(
    "/{image_id}", operation_id="get_image", response_model=DownloadableImage, responses=problem_responses("not_found")
)
def get_image(image_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """One image, with a signed URL of its file."""
    with service.begin() as session:
        image = images.get(session, caller.project_id, image_id)
    if image is None:
        raise problems.not_found("image", image_id)
    return DownloadableImage(**ImageBody.model_validate(image).model_dump(), url=service.storage.presign_get(image.key))


async def _file(request: Request) -> bytes:
    if not request.headers.get("content-type", "").startswith(FORM):
        return await request.body()
    async with request.form(max_files=1, max_fields=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise problems.invalid("send the image in the form's field `file`", param="file")
        return await file.read()


def _parse(content: bytes) -> NewImage:
    try:
        return NewImage.model_validate_json(content)
    except ValidationError as error:
        errors = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_context=False)]
        raise RequestValidationError(errors) from error
