"""Endpoints for operators: liveness, readiness and metrics."""

from asyncio import gather
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse

from api.fields import ResponseModel
from api.problems import Problem, problem_responses
from api.service import ServiceDep
from ledger import database, metrics_server, notify

router = APIRouter(tags=["health"], responses=problem_responses("internal", common=()))
METRICS_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The text format of Prometheus."}
}


class Readiness(ResponseModel):
    """The servers that answer. The API is ready while the database does."""

    database: bool
    """Whether Postgres answers. Without it every request fails."""

    broker: bool
    """Whether the broker answers. Without it jobs start some seconds later."""

    storage: bool
    """Whether the object storage answers. Without it uploads fail, and running jobs wait for it."""


class Liveness(ResponseModel):
    """The answer of a running process."""

    status: Literal["ok"] = "ok"
    """Always `ok`: a process that does not work gives no answer."""


@router.get("/healthz", operation_id="healthz")
async def healthz() -> Liveness:
    """Whether the process answers."""
    return Liveness()


@router.get("/readyz", operation_id="readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(service: ServiceDep, response: Response) -> Any:
    """Whether the database answers: 503 if it does not. The answer also says whether broker and storage answer."""
    database_answers, broker_answers, storage_answers = await gather(
        run_in_threadpool(database.is_ready, service.engine),
        run_in_threadpool(notify.is_ready, service.settings),
        run_in_threadpool(service.storage.is_ready),
    )
    response.status_code = 200 if database_answers else 503
    ready = Readiness(database=database_answers, broker=broker_answers, storage=storage_answers)
    return ready


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=PlainTextResponse,
    responses=METRICS_RESPONSE | problem_responses("unauthenticated", common=()),
)
def metrics(service: ServiceDep, request: Request) -> Response:
    """Metrics of this process and of the whole service, in the format of Prometheus. Needs `LIPE_METRICS_TOKEN`.

    Send the token as `Authorization: Bearer`. Without that setting this path refuses every request, and the metrics are
    at `LIPE_METRICS_PORT`.
    """
    token = service.settings.metrics_token.get_secret_value()
    if not token:
        raise Problem("unauthenticated", "metrics are closed here: set LIPE_METRICS_TOKEN, or use LIPE_METRICS_PORT")
    if not metrics_server.has_token(request.headers.get("authorization", ""), token):
        raise Problem("unauthenticated", "send the header `Authorization: Bearer` with LIPE_METRICS_TOKEN")
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
