"""Images by URL: a worker of webhooks fetches the file into an upload, and the request waits for it.

The API itself calls no URL of a user, so that the program that decodes images of unknown origin needs no way out.
"""

import time
from asyncio import to_thread

from anyio import sleep

from api.idempotency import IdempotentRequest
from api.problems import Problem
from api.quota import check_quotas
from ledger import fetches, outbox, quotas
from ledger.idempotency import Answer
from ledger.models import Upload

WAIT_SECONDS = 30.0
"""Longer than a worker takes for the name server and the file."""
POLL_SECONDS = 0.1


async def fetch_upload(idempotent: IdempotentRequest, url: str) -> Answer | str:
    """The id of an upload with the file at `url`, or the answer of a repeated request. Raises Problem."""
    found = await to_thread(_request, idempotent, url)
    if isinstance(found, Answer):
        return found
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        upload = await to_thread(_read, idempotent, found)
        if upload is None or upload.failure is not None:
            break
        if upload.size:
            return found
        await sleep(POLL_SECONDS)
    await to_thread(forget_upload, idempotent, found)
    if upload is None or upload.failure is None:
        detail = f"no file arrived within {WAIT_SECONDS:g} seconds: send it again, or upload the file"
        raise Problem("image_url_unreachable", detail, param="url")
    raise Problem(upload.failure, f"{upload.failure_detail}: correct the URL, or upload the file", param="url")


def forget_upload(idempotent: IdempotentRequest, upload_id: str) -> None:
    """Delete the row of an upload that becomes no image."""
    with idempotent.service.begin() as session:
        fetches.forget(session, upload_id)


def _request(idempotent: IdempotentRequest, url: str) -> Answer | str:
    service = idempotent.service
    with service.begin() as session:
        answer = idempotent.recall(session)
        if answer is not None:
            return answer
        upload = fetches.request(session, idempotent.project_id, url, seconds=WAIT_SECONDS)
        check_quotas(quotas.of_uploads(session, idempotent.project_id, service.settings))
    outbox.publish_one(service.autocommit, service.notify, fetches.TASK, upload.id)
    return upload.id


def _read(idempotent: IdempotentRequest, upload_id: str) -> Upload | None:
    with idempotent.service.begin() as session:
        return fetches.get(session, upload_id)
