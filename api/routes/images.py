"""Images: uploaded pictures, normalised on arrival."""

import logging
from dataclasses import replace
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse

from api import problems
from api.auth import CallerDep
from api.fields import Id, Moment, PathId, RequestModel, ResponseModel
from api.idempotency import Creating, Once, fingerprint
from api.image_sanitizer import Picture
from api.pagination import Listing, Paging, listing
from api.problems import Problem, documented
from api.service import Service, ServiceDep
from ledger import images, uploads
from ledger.idempotency import Answer
from ledger.models import Upload, new_id
from ledger.storage import NoSuchObject, StorageError, WrongSize, image_prefix

router = APIRouter(prefix="/images", tags=["images"])
FORM, JSON = "multipart/form-data", "application/json"


class FromUpload(RequestModel):
    """An upload whose file was PUT to its URL (`POST /v1/uploads`)."""

    upload_id: Id


BODY = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        }
        | {JSON: {"schema": FromUpload.model_json_schema()}}
        | {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/jpeg", "image/png", "image/webp")
        },
    }
}

log = logging.getLogger(__name__)


class ImageBody(ResponseModel):
    """A picture as it is kept: an sRGB PNG of `width` x `height` pixels, `size` bytes."""

    id: str
    width: int
    height: int
    content_type: str
    size: int
    sha256: str
    created_at: Moment


class DownloadableImage(ImageBody):
    """With a signed URL of the file, valid for a few minutes."""

    url: Annotated[str, Field(description="Made fresh for each answer.")]


@router.post(
    "",
    status_code=201,
    operation_id="upload_image",
    response_model=ImageBody,
    openapi_extra=BODY,
    responses=documented(
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
async def upload_image(request: Request, service: ServiceDep, once: Creating) -> Response:
    """Send the file as the body or as the field `file` of a form, or name the upload that has it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON:
        return await _use_upload(_named(await request.body()), service, once)
    content = await _file(request)
    once = replace(once, fingerprint=fingerprint(request, content))  # a form's boundary differs each time
    picture = await to_thread.run_sync(_normalised, service, content, limiter=service.decoder.turns)
    answer = await run_in_threadpool(once, lambda session: _store(session, service, once, picture))
    return JSONResponse(answer.body, answer.status, answer.headers)


@router.get("", operation_id="list_images", response_model=Listing[ImageBody])
def list_images(service: ServiceDep, me: CallerDep, window: Paging) -> Any:
    """The project's pictures, newest first."""
    with service.begin() as session:
        return listing(images.listing(session, me.project_id, window), ImageBody.model_validate)


@router.get(
    "/{image_id}", operation_id="get_image", response_model=DownloadableImage, responses=documented("not_found")
)
def get_image(image_id: PathId, service: ServiceDep, me: CallerDep) -> Any:
    """One picture, with its file."""
    with service.begin() as session:
        image = images.get(session, me.project_id, image_id)
    if image is None:
        raise problems.not_found("image", image_id)
    return DownloadableImage(**ImageBody.model_validate(image).model_dump(), url=service.storage.presign_get(image.key))


@router.delete(
    "/{image_id}",
    status_code=204,
    operation_id="delete_image",
    responses=documented("not_found", "image_in_use"),
)
def delete_image(image_id: PathId, service: ServiceDep, me: CallerDep) -> None:
    """Delete a picture that no subject and no edit uses."""
    try:
        with service.begin() as session:
            image = images.delete(session, me.project_id, image_id)
    except images.InUse as error:
        raise Problem("image_in_use", "delete the subjects and edits that use it first") from error
    if image is None:
        raise problems.not_found("image", image_id)
    _discard(service, image.key)


async def _file(request: Request) -> bytes:
    if not request.headers.get("content-type", "").startswith(FORM):
        return await request.body()
    async with request.form(max_files=1, max_fields=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise problems.invalid("send the picture in the form's field `file`", param="file")
        return await file.read()


def _normalised(service: Service, content: bytes) -> Picture:
    settings = service.settings
    return service.decoder(content, most_bytes=settings.max_upload_bytes, shortest_side=settings.min_image_side)


def _named(content: bytes) -> str:
    try:
        return FromUpload.model_validate_json(content).upload_id
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_context=False)]
        raise RequestValidationError(faults) from error


async def _use_upload(upload_id: str, service: Service, once: Once) -> Response:
    """Asked again under the same key, it answers the same without looking for the file, which is gone then."""

    def create(session: Session) -> Answer:
        upload = _found(session, once.project_id, upload_id)
        try:
            picture = _normalised(service, _fetched(service, upload))
        except Problem:
            _discard(service, key)  # nothing is kept of what is refused; another file may be PUT there
            raise
        return _store(session, service, once, picture, upload_id)

    key = uploads.file_key(once.project_id, upload_id)
    answer = await to_thread.run_sync(once, create, limiter=service.decoder.turns)
    await run_in_threadpool(_discard, service, key)
    return JSONResponse(answer.body, answer.status, answer.headers)


def _found(session: Session, project_id: str, upload_id: str) -> Upload:
    try:
        upload = uploads.use(session, project_id, upload_id)
    except uploads.AlreadyUsed as error:
        raise Problem("upload_used", "announce a new upload for a new image", param="upload_id") from error
    if upload is None:
        raise problems.not_found("upload", upload_id, param="upload_id")
    return upload


def _fetched(service: Service, upload: Upload) -> bytes:
    try:
        return service.storage.receive(uploads.file_key(upload.project_id, upload.id), upload.size)
    except (NoSuchObject, WrongSize) as error:
        reason = error if isinstance(error, WrongSize) else "nothing is there"
        raise Problem("upload_incomplete", f"PUT the file to the upload's URL: {reason}", param="upload_id") from error


def _discard(service: Service, key: str) -> None:
    """Delete an object that no row names any more."""
    try:
        service.storage.delete(key)
    except StorageError as error:
        log.warning("object left behind: %s", error)


def _store(session: Session, service: Service, once: Once, picture: Picture, upload_id: str | None = None) -> Answer:
    """The object first: a row never points at nothing."""
    image_id = new_id("img")
    stored = service.storage.put(image_prefix(once.project_id, image_id), "image.png", picture.png, "image/png")
    image = images.add(
        session,
        once.project_id,
        image_id,
        stored,
        width=picture.width,
        height=picture.height,
        content_type="image/png",
        upload_id=upload_id,
    )
    return Answer(201, ImageBody.model_validate(image).model_dump(mode="json"), {"Location": f"/v1/images/{image.id}"})
