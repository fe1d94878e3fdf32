"""Images: uploaded files, sanitized on arrival."""

from dataclasses import replace
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api import problems
from api.auth import CallerDep
from api.decoder_turn import decoder_turn
from api.fields import Id, ImageUrl, PathId, RequestModel
from api.file_body import IMAGE_FILE_PROBLEMS, file_request_body, read_file
from api.idempotency import IdempotencyDep, IdempotentRequest, fingerprint, json_response
from api.image_body import DownloadableImage, ImageBody
from api.image_creation import discard, sanitize, store_image, store_upload
from api.image_fetch import fetch_upload, forget_upload
from api.pagination import Listing, PageDep, listing
from api.problems import Problem, problem_responses
from api.service import ServiceDep
from ledger import images, uploads
from ledger.idempotency import Answer

router = APIRouter(prefix="/images", tags=["images"])
JSON = "application/json"


class NewImage(RequestModel):
    """The file's place: an upload whose file was PUT to its URL (`POST /v1/uploads`), or a URL. Give one of them."""

    upload_id: Id | None = None
    """Id of the upload, whose file must have arrived. Each upload makes one image."""

    url: ImageUrl | None = None
    """URL of the file itself, http or https, on a public server. Redirects are not followed. The service fetches the
    file within 30 seconds. Default: none. Give it instead of the file if the file is on the web already."""


REQUEST_BODY = file_request_body({JSON: {"schema": NewImage.model_json_schema()}})


@router.post(
    "",
    status_code=201,
    operation_id="upload_image",
    response_model=ImageBody,
    openapi_extra=REQUEST_BODY,
    responses=problem_responses(
        "not_found",
        "image_url_forbidden",
        "image_url_unreachable",
        "too_many_uploads",
        "too_many_images",
        "image_bytes_used_up",
        "upload_incomplete",
        "upload_used",
        "idempotency_key_in_flight",
        *IMAGE_FILE_PROBLEMS,
        "idempotency_key_reused",
        "storage_unavailable",
    ),
)
async def upload_image(request: Request, service: ServiceDep, idempotent: IdempotencyDep) -> Response:
    """Send the file as the body or as the field `file` of a form, or name the upload that has it, or its URL."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON:
        return json_response(await _stored(request, idempotent, _parse(await request.body())))
    content = await read_file(request)
    idempotent = replace(idempotent, fingerprint=fingerprint(request, content))  # each form has another boundary
    async with decoder_turn(request, service, idempotent.project_id):
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


async def _stored(request: Request, idempotent: IdempotentRequest, new_image: NewImage) -> Answer:
    """The answer with the image of an upload or of a URL."""
    upload_id = new_image.upload_id
    if new_image.url is not None:
        fetched = await fetch_upload(idempotent, new_image.url)
        if isinstance(fetched, Answer):
            return fetched
        upload_id = fetched
    service, key = idempotent.service, uploads.file_key(idempotent.project_id, str(upload_id))
    try:
        async with decoder_turn(request, service, idempotent.project_id):
            answer = await to_thread.run_sync(store_upload, idempotent, str(upload_id), limiter=service.decoder.limiter)
    except (Problem, ClientDisconnect):
        if new_image.url is not None:
            await run_in_threadpool(forget_upload, idempotent, str(upload_id))
        raise
    await run_in_threadpool(discard, service, key)  # the answer is committed: the file is not needed any more
    return answer


def _parse(content: bytes) -> NewImage:
    try:
        new_image = NewImage.model_validate_json(content)
    except ValidationError as error:
        errors = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_context=False)]
        raise RequestValidationError(errors) from error
    if (new_image.upload_id is None) == (new_image.url is None):
        raise problems.invalid("give either `upload_id` or `url`", param="upload_id")
    return new_image
