"""Images: uploaded pictures, normalised on arrival."""

import logging
from dataclasses import replace
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse

from api import problems
from api.auth import Me
from api.fields import Answered, Moment, PathId
from api.idempotency import Creating, Once, fingerprint
from api.pagination import Listing, Paging, listing
from api.problems import Problem, documented
from api.service import Here, Service
from api.uploads import Picture, normalised
from ledger import images
from ledger.database import new_id
from ledger.idempotency import Answer
from ledger.storage import StorageError, image_prefix

router = APIRouter(prefix="/images", tags=["images"])
FORM = "multipart/form-data"
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
        | {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/jpeg", "image/png", "image/webp")
        },
    }
}

log = logging.getLogger(__name__)


class ImageBody(Answered):
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
        "idempotency_key_in_flight",
        "image_too_large",
        "image_format_unsupported",
        "image_too_many_pixels",
        "image_sides_out_of_range",
        "image_animated",
        "image_unreadable",
        "idempotency_key_reused",
        "storage_unavailable",
    ),
)
async def upload_image(request: Request, service: Here, once: Creating) -> Response:
    """Send the file as the body, or as the field `file` of a form."""
    content = await _file(request)
    once = replace(once, fingerprint=fingerprint(request, content))  # a form's boundary differs each time
    picture = await to_thread.run_sync(_normalised, service, content, limiter=service.decoding)
    answer = await run_in_threadpool(once, lambda session: _store(session, service, once, picture))
    return JSONResponse(answer.body, answer.status, answer.headers)


@router.get("", operation_id="list_images", response_model=Listing[ImageBody])
def list_images(service: Here, me: Me, window: Paging) -> Any:
    """The project's pictures, newest first."""
    with service.begin() as session:
        return listing(images.listing(session, me.project_id, window), ImageBody.model_validate)


@router.get(
    "/{image_id}", operation_id="get_image", response_model=DownloadableImage, responses=documented("not_found")
)
def get_image(image_id: PathId, service: Here, me: Me) -> Any:
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
def delete_image(image_id: PathId, service: Here, me: Me) -> None:
    """Delete a picture that no subject and no edit uses."""
    try:
        with service.begin() as session:
            image = images.delete(session, me.project_id, image_id)
    except images.InUse as error:
        raise Problem("image_in_use", "delete the subjects and edits that use it first") from error
    if image is None:
        raise problems.not_found("image", image_id)
    try:
        service.storage.delete(image.key)
    except StorageError as error:  # no row points there any more: an orphan, which is swept
        log.warning("object left behind: %s", error)


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
    return normalised(content, most_bytes=settings.max_upload_bytes, shortest_side=settings.min_image_side)


def _store(session: Session, service: Service, once: Once, picture: Picture) -> Answer:
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
    )
    return Answer(201, ImageBody.model_validate(image).model_dump(mode="json"), {"Location": f"/v1/images/{image.id}"})
