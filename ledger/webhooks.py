"""Webhook endpoints, and the deliveries of an event.

A delivery is written in the transaction of its event; its body is stored as the bytes that every attempt sends.
`deliveries.py` has the attempts.
"""

from collections.abc import Collection
from typing import Any, Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import outbox, webhook_bodies
from ledger.database import now
from ledger.models import Delivery, WebhookEndpoint, new_id
from ledger.pages import NEWEST, Page, Window, newest
from ledger.states import TERMINAL
from ledger.webhook_secrets import new_secret

TASK = "lipe.webhook"
PriorEventType = Literal[
    "prior.started",
    "prior.succeeded",
    "prior.failed",
    "prior.canceled",
    "prior.expired",
]
EditEventType = Literal[
    "edit.started",
    "edit.output",
    "edit.succeeded",
    "edit.failed",
    "edit.canceled",
    "edit.expired",
]
CaptionsEventType = Literal[
    "captions.started",
    "captions.succeeded",
    "captions.failed",
    "captions.canceled",
    "captions.expired",
]
MaskEventType = Literal[
    "mask.started",
    "mask.succeeded",
    "mask.failed",
    "mask.canceled",
    "mask.expired",
]
WebhookEventType = Literal[PriorEventType, EditEventType, CaptionsEventType, MaskEventType]
"""The kind of a job, and what happened: its first attempt began, one result of an edit was stored, or it ended."""
EVENT_TYPES: tuple[str, ...] = get_args(WebhookEventType)
ENDS = frozenset(kind for kind in EVENT_TYPES if kind.partition(".")[2] in TERMINAL)
"""The types of the terminal events. A subscription that names no types has these."""


def create_endpoint(session: Session, project_id: str, url: str, events: list[str] | None = None) -> WebhookEndpoint:
    """Create an endpoint with a secret of its own. The caller has checked the URL's address."""
    endpoint = WebhookEndpoint(
        id=new_id("whk"), project_id=project_id, url=url, events=events or [], secrets=[new_secret()]
    )
    session.add(endpoint)
    session.flush()
    return endpoint


def get_endpoint(session: Session, project_id: str, endpoint_id: str) -> WebhookEndpoint | None:
    """The project's endpoint, or None."""
    mine = (WebhookEndpoint.project_id == project_id, WebhookEndpoint.id == endpoint_id)
    return session.scalars(select(WebhookEndpoint).where(*mine)).first()


def endpoints(session: Session, project_id: str, window: Window = NEWEST) -> Page[WebhookEndpoint]:
    """The project's endpoints, newest first."""
    mine = select(WebhookEndpoint).where(WebhookEndpoint.project_id == project_id)
    return newest(session, mine, WebhookEndpoint, window)


def update_endpoint(
    session: Session,
    endpoint: WebhookEndpoint,
    *,
    url: str | None = None,
    events: list[str] | None = None,
    disabled: bool | None = None,
) -> None:
    """Change the given fields."""
    endpoint.url = url if url is not None else endpoint.url
    endpoint.events = events if events is not None else endpoint.events
    if disabled is not None:
        endpoint.disabled_at = (endpoint.disabled_at or now(session)) if disabled else None
    endpoint.changed_at = now(session)
    session.flush()


def delete_endpoint(session: Session, project_id: str, endpoint_id: str) -> bool:
    """Delete an endpoint and its deliveries; False: not there."""
    endpoint = get_endpoint(session, project_id, endpoint_id)
    if endpoint is not None:
        session.delete(endpoint)
        session.flush()
    return endpoint is not None


def create_deliveries(
    session: Session,
    project_id: str,
    job_id: str,
    event_type: str,
    data: dict[str, Any],
    webhook_url: str | None,
    traceparent: str | None = None,
) -> None:
    """Write one delivery for each enabled endpoint that subscribes to the event, and one for the URL if it is given."""
    # Not the whole row: the database roles of most programs may not read the secrets.
    enabled = select(WebhookEndpoint.id, WebhookEndpoint.url, WebhookEndpoint.events).where(
        WebhookEndpoint.project_id == project_id, WebhookEndpoint.disabled_at.is_(None)
    )
    targets: list[tuple[str | None, str]] = [
        (endpoint_id, url) for endpoint_id, url, events in session.execute(enabled) if subscribes(events, event_type)
    ]
    if webhook_url is not None:
        targets.append((None, webhook_url))
    if not targets:
        return
    moment = now(session)
    body = webhook_bodies.encode(event_type, moment, data)
    for endpoint_id, url in targets:
        delivery = Delivery(
            id=new_id("dlv"),
            project_id=project_id,
            endpoint_id=endpoint_id,
            job_id=job_id,
            message_id=new_id("msg"),
            event_type=event_type,
            url=url,
            body=body,
            state="pending",
            attempts=0,
            next_attempt_at=moment,
            notified_at=moment,
            traceparent=traceparent,
        )
        session.add(delivery)
        outbox.add(session, TASK, delivery.id)


def subscribes(events: Collection[str], event_type: str) -> bool:
    """Whether a subscription to `events`, or to the ends of jobs if that is empty, includes the type."""
    return event_type in (events or ENDS)
