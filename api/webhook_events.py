"""What a webhook's body looks like (Standard Webhooks 1.0): one type for each end that a job can have."""

from collections.abc import Callable
from typing import Annotated, Any, get_args

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.fields import Moment
from api.job_body import JobError
from ledger.states import JobKind, State
from ledger.webhooks import WebhookEventType

ANSWERS: dict[int | str, dict[str, Any]] = {
    "2XX": {"description": "Taken. Anything else is sent again later; redirects are not followed."},
    410: {"description": "Send nothing to this endpoint any more: it is disabled."},
}


class EventData(BaseModel):
    """The job that ended; read its result at the edit or the prior."""

    job_id: str
    status: State
    attempt: int
    error: Annotated[JobError | None, Field(description="Only of a job that failed.")] = None
    kind: JobKind
    subject_id: str
    prior_id: str | None
    edit_id: str | None
    metadata: Annotated[dict[str, str] | None, Field(description="Left out where the body would be too long.")] = None


class WebhookEvent(BaseModel):
    """Signed, under 20 kB, and the same bytes at every attempt; the header `webhook-id` names it."""

    type: WebhookEventType
    timestamp: Moment
    data: EventData


def described() -> APIRouter:
    """The receiver's side, for OpenAPI's `webhooks`."""
    router = APIRouter(tags=["webhooks"])
    for event in get_args(WebhookEventType):
        router.add_api_route(
            event,
            _receiver(event),
            methods=["POST"],
            status_code=204,
            operation_id=f"on_{event.replace('.', '_')}",
            summary=event,
            responses=ANSWERS,
        )
    return router


def _receiver(event: str) -> Callable[..., None]:
    kind, _, state = event.partition(".")

    def receive(body: WebhookEvent) -> None: ...

    receive.__doc__ = f"The job of {'an edit' if kind == 'edit' else 'a prior'} has {STATES[state]}."
    return receive


STATES = {
    "succeeded": "succeeded: its files are there",
    "failed": "failed: `error` says why",
    "canceled": "been cancelled",
    "expired": "waited for too long",
}
