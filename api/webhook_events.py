"""Bodies of webhooks (Standard Webhooks 1.0): one type for each end that a job can have."""

from collections.abc import Callable
from typing import Annotated, Any, get_args

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.fields import Moment
from api.job_body import JobError
from ledger.states import JobKind, State
from ledger.webhooks import WebhookEventType

RECEIVER_RESPONSES: dict[int | str, dict[str, Any]] = {
    "2XX": {"description": "Delivered. After any other status LIPE tries again later; it does not follow redirects."},
    410: {"description": "The endpoint is disabled: LIPE sends nothing there any more."},
}


class EventData(BaseModel):
    """The job that ended. Its result is at the edit or the prior."""

    job_id: str
    status: State
    attempt: int
    error: Annotated[JobError | None, Field(description="Only for a failed job.")] = None
    kind: JobKind
    subject_id: str
    prior_id: str | None
    edit_id: str | None
    metadata: Annotated[dict[str, str] | None, Field(description="Absent if the body would be too long.")] = None


class WebhookEvent(BaseModel):
    """A signed event of less than 20 kB. All attempts send the same bytes and the same header `webhook-id`."""

    type: WebhookEventType
    timestamp: Moment
    data: EventData


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
