"""Webhook endpoints, and the deliveries of an event.

A delivery is written in the transaction of its event; its body is stored as the bytes that every attempt sends.
`deliveries.py` has the attempts.
"""

import json
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import outbox
from ledger.database import now
from ledger.models import Delivery, WebhookEndpoint, new_id
from ledger.pages import NEWEST, Page, Window, newest
from ledger.webhook_secrets import new_secret

TASK = "lipe.webhook"
LARGEST_BODY = 20_000
WebhookEventType = Literal[
    "prior.succeeded",
    "prior.failed",
    "prior.canceled",
    "prior.expired",
    "edit.succeeded",
    "edit.failed",
    "edit.canceled",
    "edit.expired",
]
"""A job kind and a terminal state."""


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
    session: Session, project_id: str, job_id: str, event_type: str, data: dict[str, Any], webhook_url: str | None
) -> None:
    """Write one delivery for each enabled endpoint that subscribes to the event, and one for the request's own URL."""
    enabled = select(WebhookEndpoint).where(
        WebhookEndpoint.project_id == project_id, WebhookEndpoint.disabled_at.is_(None)
    )
    targets: list[tuple[str | None, str]] = [
        (endpoint.id, endpoint.url)
        for endpoint in session.scalars(enabled)
        if not endpoint.events or event_type in endpoint.events
    ]
    if webhook_url is not None:
        targets.append((None, webhook_url))
    if not targets:
        return
    moment = now(session)
    body = _body(event_type, moment, data)
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
        )
        session.add(delivery)
        outbox.add(session, TASK, delivery.id)


def _body(event_type: str, moment: datetime, data: dict[str, Any]) -> bytes:
    """The message (Standard Webhooks 1.0, "Payload structure"); without the metadata if it would be too long."""
    message = {"type": event_type, "timestamp": moment.isoformat(), "data": data}
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    if len(body) > LARGEST_BODY and "metadata" in data:
        return _body(event_type, moment, {key: value for key, value in data.items() if key != "metadata"})
    return body
