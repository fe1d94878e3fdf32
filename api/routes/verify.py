"""Verification: what an image file says of itself, and whether this service made it."""

from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.auth import CallerDep
from api.decoder_turn import decoder_turn
from api.file_body import IMAGE_FILE_PROBLEMS, file_request_body, read_file
from api.problems import problem_responses
from api.service import Service, ServiceDep
from api.verification_body import VerificationBody
from api.watermark_reader import ReadWatermark
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
    async with decoder_turn(request, service, caller.project_id):
        credentials = await to_thread.run_sync(_read, service, content, limiter=service.decoder.limiter)
    async with decoder_turn(request, service, caller.project_id):
        watermark = await to_thread.run_sync(_watermark, service, content, limiter=service.decoder.limiter)
    edit_ids = await run_in_threadpool(_own_edits, service, caller.project_id, credentials, watermark)
    return VerificationBody.of(credentials, watermark and watermark.is_found, *edit_ids)


def _read(service: Service, content: bytes) -> Credentials:
    return service.decoder.read_credentials(content, service.trust, max_bytes=service.settings.max_upload_bytes)


def _watermark(service: Service, content: bytes) -> ReadWatermark | None:
    key = service.settings.watermark_key.get_secret_value()
    return service.decoder.find_watermark(content, key.encode()) if key else None


def _own_edits(
    service: Service, project_id: str, credentials: Credentials, watermark: ReadWatermark | None
) -> tuple[str | None, str | None]:
    """The ids of the edits that the credentials and the watermark name, if the project has them."""
    claimed, message = credentials.edit.get("edit_id"), watermark and watermark.message
    with service.begin() as session:
        has_claimed = isinstance(claimed, str) and edits.get(session, project_id, claimed) is not None
        marked = edits.find_marked(session, project_id, message) if message is not None else None
    return claimed if has_claimed else None, marked
