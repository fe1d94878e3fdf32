"""Images: uploaded files, sanitized on arrival."""

import logging
from dataclasses import replace
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api import problems
from api.auth import CallerDep
from api.fields import Id, Moment, PathId, RequestModel, ResponseModel
from api.idempotency import IdempotencyDep, IdempotentRequest, fingerprint, json_response
from api.image_formats import NAMES
from api.image_sanitizer import MAX_SIDE, SanitizedImage
from api.pagination import Listing, PageDep, listing
from api.problems import Problem, problem_responses
from api.service import Service, ServiceDep
from ledger import images, uploads
from ledger.idempotency import Answer
from ledger.models import Upload, new_id
from ledger.storage import NoSuchObject, StorageError, WrongSize, image_prefix

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

log = logging.getLogger(__name__)


class ImageBody(ResponseModel):
    """A stored image: an sRGB PNG of `width` x `height` pixels and `size` bytes."""

    id: str
    """Id of the image."""

    width: int
    """Width in pixels, after the rotation that EXIF asks for."""

    height: int
    """Height in pixels, after the rotation that EXIF asks for."""

    content_type: str
    """Media type of the stored file."""

    size: int
    """Size of the stored file in bytes."""

    sha256: str
    """SHA-256 of the stored file, in hexadecimal."""

    created_at: Moment
    """Time at which the image was stored, in UTC."""


class DownloadableImage(ImageBody):
    """An image with a signed URL of its file, valid for a few minutes."""

    url: str
    """Signed URL of the file, valid for a few minutes. Each answer has a new one: read it again instead of storing
    it."""


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
            _store_upload, idempotent, new_image.upload_id, limiter=service.decoder.limiter
        )
        # The answer is committed: the uploaded file is not needed any more.
        key = uploads.file_key(idempotent.project_id, new_image.upload_id)
        await run_in_threadpool(_discard, service, key)
        return json_response(answer)
    content = await _file(request)
    idempotent = replace(idempotent, fingerprint=fingerprint(request, content))  # each form has another boundary
    image = await to_thread.run_sync(_sanitize, service, content, limiter=service.decoder.limiter)
    return json_response(await run_in_threadpool(_store_image, idempotent, image))


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


def _sanitize(service: Service, content: bytes) -> SanitizedImage:
    settings = service.settings
    return service.decoder(content, max_bytes=settings.max_upload_bytes, min_side=settings.min_image_side)


def _store_image(idempotent: IdempotentRequest, image: SanitizedImage) -> Answer:
    with idempotent.service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            answer = idempotent.remember(session, _add(session, idempotent, image))
        return answer


def _store_upload(idempotent: IdempotentRequest, upload_id: str) -> Answer:
    """Fetch and store the upload's image. A repeated request gets its answer without the file, which is deleted."""
    service = idempotent.service
    with service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            upload = _use(session, idempotent.project_id, upload_id)
            try:
                image = _sanitize(service, _fetch(service, upload))
            except Problem:  # keep no refused file; the client may PUT another one
                _discard(service, uploads.file_key(upload.project_id, upload.id))
                raise
            answer = idempotent.remember(session, _add(session, idempotent, image, upload_id))
        return answer


def _use(session: Session, project_id: str, upload_id: str) -> Upload:
    try:
        upload = uploads.use(session, project_id, upload_id)
    except uploads.AlreadyUsed as error:
        raise Problem("upload_used", "announce a new upload for a new image", param="upload_id") from error
    if upload is None:
        raise problems.not_found("upload", upload_id, param="upload_id")
    return upload


def _fetch(service: Service, upload: Upload) -> bytes:
    try:
        return service.storage.receive(uploads.file_key(upload.project_id, upload.id), upload.size)
    except (NoSuchObject, WrongSize) as error:
        reason = error if isinstance(error, WrongSize) else "the file is missing"
        raise Problem("upload_incomplete", f"PUT the file to the upload's URL: {reason}", param="upload_id") from error


def _discard(service: Service, key: str) -> None:
    """Delete an object that no row references."""
    try:
        service.storage.delete(key)
    except StorageError as error:
        log.warning("object left behind: %s", error)


def _add(
    session: Session, idempotent: IdempotentRequest, image: SanitizedImage, upload_id: str | None = None
) -> Answer:
    """Store the object, then the row, so that no row references a missing object."""
    image_id, project_id = new_id("img"), idempotent.project_id
    stored = idempotent.service.storage.put(image_prefix(project_id, image_id), "image.png", image.png, "image/png")
    row = images.add(
        session,
        project_id,
        image_id,
        stored,
        width=image.width,
        height=image.height,
        content_type="image/png",
        upload_id=upload_id,
    )
    return Answer(201, ImageBody.model_validate(row).model_dump(mode="json"), {"Location": f"/v1/images/{row.id}"})
