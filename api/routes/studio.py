"""The studio: the web page at `/`, built from `web/` into `api/studio/`.

The page calls the API with a key that the browser alone keeps, so these routes need none. All its URLs are relative:
it also works behind a proxy that serves the API below a path.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from api.problems import Problem
from ledger.settings import Settings

BUILT = Path(__file__).parents[1] / "studio"
"""The folder that `make studio` writes."""

FILE_NAME = re.compile(r"[\w-][\w.-]*\.(\w+)")
MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "png": "image/png"}
NOT_BUILT = """\
<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>LIPE: the studio is not built</title>
  </head>
  <body>
    <h1>The studio is not built</h1>
    <p>This server works, but its web page is missing. In the checkout of LIPE run <code>make studio</code>, then load
    this page again. Building needs the registry of npm once.</p>
    <p>The <a href="docs">API reference</a> is here.</p>
  </body>
</html>
"""
COMMON_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
PAGE_HEADERS = COMMON_HEADERS | {"Cache-Control": "no-cache", "Cross-Origin-Opener-Policy": "same-origin"}
ASSET_HEADERS = COMMON_HEADERS | {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
"""The name of an asset contains a hash of its content, so a browser never asks for it again."""


def make_router(settings: Settings, folder: Path = BUILT) -> APIRouter:
    """The routes of the page and of its assets, which are read from `folder` at each request."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    def page() -> Response:
        file, headers = folder / "index.html", PAGE_HEADERS | {"Content-Security-Policy": policy(settings)}
        if not file.is_file():
            return Response(NOT_BUILT, 404, headers, "text/html")
        return Response(file.read_bytes(), 200, headers, "text/html")

    @router.api_route("/assets/{name}", methods=["GET", "HEAD"])
    def asset(name: str, request: Request) -> Response:
        """One file of the page, compressed if the build has it so and the browser accepts it."""
        matched, file = FILE_NAME.fullmatch(name), folder / "assets" / name
        if matched is None or matched[1] not in MEDIA_TYPES or not file.is_file():
            raise Problem("not_found", "there is no such file: open / again, it may have changed")
        compressed = file.with_name(f"{name}.gz")
        headers = ASSET_HEADERS
        if "gzip" in request.headers.get("accept-encoding", "") and compressed.is_file():
            file, headers = compressed, ASSET_HEADERS | {"Content-Encoding": "gzip"}
        return Response(file.read_bytes(), 200, headers, MEDIA_TYPES[matched[1]])

    return router


def policy(settings: Settings) -> str:
    """The Content-Security-Policy of the page: this server alone, and the origin of signed URLs for files."""
    url = urlsplit(settings.public_url or settings.public_endpoint_url)
    files = f"{url.scheme}://{url.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src 'self' blob: {files}; connect-src 'self' {files}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
