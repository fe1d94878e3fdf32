"""Verification: what an image file says of itself, and whether this service made it."""

from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.auth import CallerDep
from api.file_body import IMAGE_FILE_PROBLEMS, file_request_body, read_file
from api.problems import problem_responses
from api.service import Service, ServiceDep
from api.verification_body import VerificationBody
from ledger import edits
from provenance.reading import Credentials

router = APIRouter(prefix="/verify", tags=["verification"])


@router.post(
    "",
    operation_id="verify_image",
    openapi_extra=file_request_body({}),
    responses=problem_responses(*IMAGE_FILE_PROBLEMS),
)
async def verify_image(request: Request, service: ServiceDep, caller: CallerDep) -> VerificationBody:
    """Check the Content Credentials of an image file, as the body or as the field `file` of a form.

    The file is not stored. Nothing is fetched: credentials that are not in the file count as absent.
    """
    content = await read_file(request)
    async with service.decoder.queue.turn(caller.project_id):
        credentials = await to_thread.run_sync(_read, service, content, limiter=service.decoder.limiter)
    async with service.decoder.queue.turn(caller.project_id):
        watermark = await to_thread.run_sync(_watermark, service, content, limiter=service.decoder.limiter)
    edit_id = await run_in_threadpool(_own_edit, service, caller.project_id, credentials)
    return VerificationBody.of(credentials, edit_id, watermark)


def _read(service: Service, content: bytes) -> Credentials:
    return service.decoder.read_credentials(content, service.trust, max_bytes=service.settings.max_upload_bytes)


def _watermark(service: Service, content: bytes) -> bool | None:
    key = service.settings.watermark_key.get_secret_value()
    return service.decoder.find_watermark(content, key.encode()) if key else None


def _own_edit(service: Service, project_id: str, credentials: Credentials) -> str | None:
    """The id of the edit that the credentials name, if the project has it."""
    edit_id = credentials.edit.get("edit_id")
    if not isinstance(edit_id, str):
        return None
    with service.begin() as session:
        return edit_id if edits.get(session, project_id, edit_id) is not None else None
