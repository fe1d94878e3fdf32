"""Endpoints for operators: liveness, readiness and metrics."""

from asyncio import gather
from typing import Any, Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse

from api.fields import ResponseModel
from api.problems import problem_responses
from api.service import ServiceDep
from ledger import database, notify, queue_metrics

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
    responses=METRICS_RESPONSE | problem_responses("unavailable", common=()),
)
def metrics(service: ServiceDep) -> Response:
    """Metrics for Prometheus, read from the database, so that every process reports the same."""
    registry = CollectorRegistry()
    depth = Gauge("lipe_jobs", "Unfinished jobs.", ["kind", "state"], registry=registry)
    age = Gauge("lipe_jobs_oldest_seconds", "Age of the oldest unfinished job.", ["kind", "state"], registry=registry)
    leases = Gauge("lipe_expired_leases", "Running jobs whose lease has expired.", registry=registry)
    waiting = Gauge("lipe_undelivered_webhooks", "Webhook deliveries that are still pending.", registry=registry)
    with service.begin() as session:
        for queue in queue_metrics.queues(session):
            depth.labels(queue.kind, queue.state).set(queue.depth)
            age.labels(queue.kind, queue.state).set(queue.oldest_seconds)
        leases.set(queue_metrics.expired_leases(session))
        waiting.set(queue_metrics.undelivered_webhooks(session))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
