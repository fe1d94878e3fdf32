"""The page /docs: Swagger UI, with every file from this server, because a browser may have no internet access.

The package fastapi-offline carries the files of Swagger UI. The page has no inline script, so its
Content-Security-Policy allows the scripts of this server alone. All its URLs are relative, so it also works behind a
proxy that serves the API below a path.
"""

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from api.problems import Problem

router = APIRouter(include_in_schema=False)

START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // the default sends the document to a public server
});
"""
PAGE = """\
<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>LIPE: API reference</title>
    <link rel="icon" href="docs/favicon.png">
    <link rel="stylesheet" href="docs/swagger-ui.css">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <noscript>This page needs JavaScript. The contract is at <a href="openapi.json">openapi.json</a>.</noscript>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/start.js"></script>
  </body>
</html>
"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Swagger UI has its icons as data URLs and sets styles of elements."""
ASSET_HEADERS = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
PACKAGED = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
"""Files of the package, with their media types."""


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE, headers=HEADERS)


@router.get("/docs/{name}")
def asset(name: str) -> Response:
    """One file of the page."""
    if name == "start.js":
        return Response(START, media_type="text/javascript", headers=ASSET_HEADERS)
    if name not in PACKAGED:
        raise Problem("not_found", "there is no such file: open /docs")
    content = (files("fastapi_offline") / "static" / name).read_bytes()
    return Response(content, media_type=PACKAGED[name], headers=ASSET_HEADERS)
