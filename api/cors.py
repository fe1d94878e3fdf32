"""CORS: web pages of the origins in LIPE_CORS_ORIGINS may call the API from a browser.

Closed by default. API keys are sent in a header and never as a cookie, so the answers do not allow credentials.
"""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware

from api import problem_answers
from ledger.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "Range",
    "X-Rater-Session",
    "X-Request-Id",
    "X-Study-Token",
)
ANSWER_HEADERS = (
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)
"""The headers that scripts may read; without the list a browser hides them."""
MAX_AGE_SECONDS = 600


def add_cors(app: FastAPI, settings: Settings) -> None:
    """Add the middleware if the settings name origins. Add it after those that refuse requests.

    A refusal then has the headers, too, and a preflight request needs no key.
    """
    if not settings.allowed_origins:
        return
    # FastAPI answers unexpected errors outside of all middleware, where a browser would hide the problem document.
    app.add_middleware(ServerErrorMiddleware, handler=problem_answers.answer)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=METHODS,
        allow_headers=REQUEST_HEADERS,
        expose_headers=ANSWER_HEADERS,
        max_age=MAX_AGE_SECONDS,
    )
