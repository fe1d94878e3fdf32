"""The application: `uvicorn api.app:make_app --factory`."""

from functools import partial
from importlib.metadata import version

from fastapi import FastAPI

from api import logs, openapi, problems, webhook_events
from api.auth import GUARDED, AuthMiddleware, described
from api.body_limit import BodyLimitMiddleware
from api.problems import documented
from api.request_id import RequestId
from api.routes import edits, health, images, jobs, priors, subjects, uploads, webhooks
from api.service import lifespan
from api.strict_query import strict_query
from ledger.settings import Settings

LARGEST_JSON = 256 * 1024
FORM_OVERHEAD = 64 * 1024
TAGS = [
    {"name": "images", "description": "Pictures, normalised on arrival."},
    {"name": "subjects", "description": "Who or what is to be learnt."},
    {"name": "priors", "description": "What was learnt of a subject."},
    {"name": "edits", "description": "Pictures with the subject changed."},
    {"name": "jobs", "description": "Work that takes its time."},
    {"name": "webhooks", "description": "Events, signed, to your own server."},
    {"name": "health", "description": "For the operator."},
]


def make_app(settings: Settings | None = None) -> FastAPI:
    """The API over `settings`, or over the environment's. Raises pydantic.ValidationError where one is missing."""
    settings = settings or Settings()
    logs.configure()
    app = FastAPI(
        title="LIPE",
        version=version("lipe"),
        description="Personalised, non-rigid image editing: learn a subject, then change its pose, expression or view.",
        openapi_tags=TAGS,
        lifespan=lifespan(settings),
        redirect_slashes=False,
    )
    problems.install(app)
    app.add_middleware(AuthMiddleware)
    app.add_middleware(BodyLimitMiddleware, bound=partial(_bound, settings))
    app.add_middleware(RequestId)  # the outermost: every refusal carries the id, too
    for resource in (uploads, images, subjects, priors, edits, jobs, webhooks):
        # Straight to the application: FastAPI searches each level of nested routers again, at every request.
        app.include_router(
            resource.router, prefix=GUARDED, dependencies=[described, strict_query], responses=documented()
        )
    app.include_router(health.router)
    app.webhooks.include_router(webhook_events.described())
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    return app


def _bound(settings: Settings, path: str) -> int:
    return settings.max_upload_bytes + FORM_OVERHEAD if path == f"{GUARDED}/images" else LARGEST_JSON
