"""Bodies of webhooks (Standard Webhooks 1.0): one type for each end that a job can have."""

from collections.abc import Callable
from typing import Any, get_args

from fastapi import APIRouter

from api.fields import Moment, ResponseModel
from api.job_body import JobError, JobWarning
from ledger.states import JobKind, State
from ledger.webhooks import WebhookEventType

RECEIVER_RESPONSES: dict[int | str, dict[str, Any]] = {
    "2XX": {"description": "Delivered. After any other status LIPE tries again later; it does not follow redirects."},
    410: {"description": "The endpoint is disabled: LIPE sends nothing there any more."},
}


class EventData(ResponseModel):
    """The job that ended. Its result is at the edit or the prior."""

    job_id: str
    """Id of the job that ended."""

    status: State
    """Final state of the job."""

    attempt: int
    """Number of times that a worker has claimed the job."""

    error: JobError | None = None
    """Reason of the failure; absent unless the job has failed."""

    kind: JobKind
    """`prior` for a training, `edit` for an edit."""

    subject_id: str
    """Id of the subject."""

    prior_id: str | None
    """Id of the prior; null for an edit with the base model alone."""

    edit_id: str | None
    """Id of the edit; null for a training."""

    warnings: list[JobWarning]
    """Reasons why the result will probably be poor."""

    metadata: dict[str, str] | None = None
    """Your own pairs from the request; absent if the body would be too long."""


class WebhookEvent(ResponseModel):
    """A signed event of less than 20 kB. All attempts send the same bytes and the same header `webhook-id`."""

    type: WebhookEventType
    """Kind of the job and its final state."""

    timestamp: Moment
    """Time at which the job ended, in UTC."""

    data: EventData
    """Facts about the job."""


def make_router() -> APIRouter:
    """The routes that a receiver has to offer, for `webhooks` in OpenAPI."""
    router = APIRouter(tags=["webhooks"])
    for event in get_args(WebhookEventType):
        router.add_api_route(
            event,
            _receiver(event),
            methods=["POST"],
            status_code=204,
            operation_id=f"on_{event.replace('.', '_')}",
            summary=event,
            responses=RECEIVER_RESPONSES,
        )
    return router


def _receiver(event: str) -> Callable[..., None]:
    kind, _, state = event.partition(".")

    def receive(body: WebhookEvent) -> None: ...

    receive.__doc__ = f"The job of {'an edit' if kind == 'edit' else 'a prior'} has {STATE_PHRASES[state]}."
    return receive


STATE_PHRASES = {
    "succeeded": "succeeded: its files are available",
    "failed": "failed: `error` says why",
    "canceled": "been cancelled",
    "expired": "expired",
}
