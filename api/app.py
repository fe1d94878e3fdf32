"""The application: `uvicorn api.app:make_app --factory`."""

from functools import partial

from fastapi import FastAPI

from api import openapi, problem_answers, webhook_events
from api.auth import API_PREFIX, AuthMiddleware, bearer_scheme
from api.body_limit import BodyLimitMiddleware, BodyShareMiddleware
from api.cors import add_cors
from api.metrics import ApiMetrics
from api.problems import problem_responses
from api.rate_limit import RateLimitMiddleware
from api.request_id import RequestIdMiddleware
from api.routes import (
    captions,
    consents,
    decisions,
    deletions,
    docs,
    edits,
    files,
    health,
    images,
    jobs,
    keys,
    masks,
    models,
    own_key,
    prior_imports,
    priors,
    ratings,
    references,
    snapshots,
    studies,
    studio,
    subjects,
    uploads,
    verify,
    webhook_secrets,
    webhooks,
    workers,
)
from api.service import lifespan
from api.strict_query import strict_query
from ledger import logs
from ledger.settings import Settings
from ledger.signed_urls import FILES_PATH
from ledger.trace_settings import make_tracing
from ledger.tracing import Tracing
from ledger.version import VERSION

MAX_JSON_BYTES = 256 * 1024
FORM_OVERHEAD_BYTES = 64 * 1024
OPENAPI_TAGS = [
    {"name": "images", "description": "Uploaded images, sanitized on arrival."},
    {"name": "subjects", "description": "The people, animals and things to be learned from reference images."},
    {"name": "captions", "description": "Descriptions of images, to be read and corrected before they are used."},
    {"name": "priors", "description": "Trainings, and the priors that they produce."},
    {"name": "masks", "description": "The subject in an image, found by the service before an edit."},
    {"name": "edits", "description": "Edits of an image that shows the subject."},
    {
        "name": "verification",
        "description": "The claims of an image file about itself, and whether this service made it.",
    },
    {
        "name": "studies",
        "description": "People compare the results of systems, without knowing which system made which.",
    },
    {"name": "ratings", "description": "The raters' side of a study: by the token of its link, without an API key."},
    {"name": "jobs", "description": "Trainings and edits in progress: follow, cancel and retry them."},
    {"name": "models", "description": "The base models that the workers have loaded."},
    {"name": "webhooks", "description": "Signed events, sent to your own server."},
    {"name": "keys", "description": "The project's API keys, for those who hold an `admin` key."},
    {"name": "workers", "description": "The processes that run jobs, for those who hold an `operator` key."},
    {"name": "decisions", "description": "The append-only log of what policy and consent allowed and refused."},
    {"name": "health", "description": "For operators of the service."},
]


def make_app(settings: Settings | None = None, tracing: Tracing | None = None) -> FastAPI:
    """The API with `settings` and `tracing`, or with the environment's.

    Raises pydantic.ValidationError if a setting is missing, and TracingMissing.
    """
    settings = settings or Settings()
    logs.configure()
    app = FastAPI(
        title="LIPE",
        version=VERSION,
        description="Personalised, non-rigid image editing: learn a subject, then change its pose, expression or view.",
        openapi_tags=OPENAPI_TAGS,
        lifespan=lifespan(settings),
        redirect_slashes=False,
        docs_url=None,  # FastAPI's pages load their scripts from a public server
        redoc_url=None,
    )
    app.state.tracing, app.state.metrics = tracing or make_tracing("api"), ApiMetrics()
    problem_answers.install(app)
    app.add_middleware(BodyShareMiddleware, max_bytes=partial(_max_bytes, settings))
    app.add_middleware(AuthMiddleware)
    app.add_middleware(RateLimitMiddleware, per_address=settings.rate_per_address, per_key=settings.rate_per_key)
    app.add_middleware(BodyLimitMiddleware, max_bytes=partial(_max_bytes, settings))
    add_cors(app, settings)
    app.add_middleware(RequestIdMiddleware)  # the outermost, so that every refusal carries the id
    for resource in (
        uploads, images, subjects, consents, references, captions, priors, snapshots, prior_imports, masks, edits,
        verify, studies, jobs, models, webhooks, webhook_secrets, keys, own_key, decisions, deletions, workers,
    ):  # fmt: skip
        # No router around these: FastAPI searches every level of nested routers at each request.
        app.include_router(
            resource.router,
            prefix=API_PREFIX,
            dependencies=[bearer_scheme, strict_query],
            responses=problem_responses(),
        )
    app.include_router(ratings.router, prefix=API_PREFIX, dependencies=[strict_query])
    app.include_router(health.router)
    app.include_router(docs.router)
    app.include_router(studio.make_router(settings))
    if settings.public_url:
        app.include_router(files.router)
    app.webhooks.include_router(webhook_events.make_router())
    app.state.tracing.instrument(app)
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    return app


def _max_bytes(settings: Settings, path: str) -> int:
    if path in {f"{API_PREFIX}/images", f"{API_PREFIX}/verify"}:
        return settings.max_upload_bytes + FORM_OVERHEAD_BYTES
    if path.startswith(f"{FILES_PATH}/"):
        return max(settings.max_upload_bytes, settings.max_import_bytes)
    return MAX_JSON_BYTES
