"""Files through the API: GET and PUT of one object by a signed URL (`ledger/signed_urls.py`), without an API key.

The application has these routes only if LIPE_PUBLIC_URL is set. They are not in the contract: clients get whole URLs.
"""

import re
import time
from tempfile import SpooledTemporaryFile
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api.problems import Problem
from api.service import ServiceDep, running_service
from ledger.signed_urls import FILES_PATH, ApiUrls, InvalidUrl, disposition
from ledger.storage import NoSuchObject, RangeOutside

router = APIRouter(prefix=FILES_PATH, include_in_schema=False)
BYTE_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)")
"""One range. Several at once are ignored, as RFC 9110, 14.2 allows: the answer is then the whole file."""
HEADERS = {
    "Accept-Ranges": "bytes",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""A file must never run as a page of the API's origin."""

Key = Annotated[str, Path()]


def _signed(key: Key, request: Request) -> dict[str, str]:
    """The signed parameters of the URL. Raises Problem."""
    method = "GET" if request.method == "HEAD" else request.method
    try:
        return ApiUrls(running_service(request).settings).check(method, key, request.query_params.multi_items())
    except InvalidUrl as error:
        raise Problem("signed_url_invalid", str(error)) from error


SignedDep = Annotated[dict[str, str], Depends(_signed)]


@router.api_route("/{key:path}", methods=["GET", "HEAD"])
def read_file(key: Key, request: Request, service: ServiceDep, signed: SignedDep) -> Response:
    """The object, or the bytes that `Range` asks for."""
    wanted = request.headers.get("range", "")
    byte_range = wanted if BYTE_RANGE.fullmatch(wanted) and "if-range" not in request.headers else None
    try:
        stored = service.storage.stream(key, byte_range)
    except NoSuchObject as error:
        raise Problem("not_found", "the file was deleted") from error
    except RangeOutside as error:
        raise Problem("range_not_satisfiable", "the file is shorter: ask for bytes that it has") from error
    headers = {
        **HEADERS,
        "Content-Length": str(stored.size),
        "Cache-Control": f"private, max-age={max(0, int(signed['expires']) - int(time.time()))}",
    }
    if stored.content_range is not None:
        headers["Content-Range"] = stored.content_range
    if "filename" in signed:
        headers["Content-Disposition"] = disposition(signed["filename"])
    status = 200 if stored.content_range is None else 206
    if request.method == "HEAD":
        with stored:
            return Response(status_code=status, headers=headers, media_type=stored.content_type)
    return StreamingResponse(stored.chunks(), status, headers, stored.content_type)


@router.put("/{key:path}")
async def receive_file(key: Key, request: Request, service: ServiceDep, signed: SignedDep) -> Response:
    """Store a user's file of exactly the announced type and size, which becomes an image or a prior later."""
    announced = {"Content-Type": signed["content_type"], "Content-Length": signed["size"]}
    for name, value in announced.items():
        if request.headers.get(name) != value:
            raise Problem("upload_mismatch", f"send the header `{name}: {value}`, as the upload was announced")
    with SpooledTemporaryFile(service.settings.max_upload_bytes) as file:  # a LoRA may be larger than the memory allows
        async for chunk in request.stream():
            file.write(chunk)
        file.seek(0)
        await run_in_threadpool(service.storage.put_file, key, file, signed["content_type"])
    return Response()
