"""Webhooks: where a project wants its events sent, and the announcement of an event.

A delivery is written in the transaction of its event, its body as the bytes that every attempt will send. Its way
from there is in `deliveries.py`.
"""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger import outbox
from ledger.columns import Id, ListedProjectId, Moment, ProjectId
from ledger.database import Row, new_id, now
from ledger.pages import NEWEST, Page, Window, newest
from ledger.webhook_secrets import new_secret

TASK = "lipe.webhook"
LARGEST_BODY = 20_000


class Endpoint(Row):
    """A URL that gets events. `events` empty: all of them. `secrets`: newest first, each signs.

    `changed_at`: since when it subscribes to what it subscribes to now.
    """

    __tablename__ = "webhook_endpoints"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    url: Mapped[str]
    events: Mapped[list[str]]
    secrets: Mapped[list[str]]
    disabled_at: Mapped[datetime | None]
    changed_at: Mapped[Moment]
    created_at: Mapped[Moment]


class Delivery(Row):
    """One event on its way to one URL. `endpoint_id` is None where the URL came with the request.

    `message_id` and `body` are the same at every attempt; `rung_at` is when a worker was last called for it.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_project_id_created_at", "project_id", "created_at", "id"),
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    endpoint_id: Mapped[str | None] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[str]
    event_type: Mapped[str]
    url: Mapped[str]
    body: Mapped[bytes]
    state: Mapped[str]  # pending, then one of delivered, exhausted, disabled
    attempts: Mapped[int]
    next_attempt_at: Mapped[datetime]
    rung_at: Mapped[datetime]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[Moment]


def create_endpoint(session: Session, project_id: str, url: str, events: list[str] | None = None) -> Endpoint:
    """A new endpoint with a secret of its own. The caller has checked the URL's address."""
    endpoint = Endpoint(id=new_id("whk"), project_id=project_id, url=url, events=events or [], secrets=[new_secret()])
    session.add(endpoint)
    session.flush()
    return endpoint


def get_endpoint(session: Session, project_id: str, endpoint_id: str) -> Endpoint | None:
    """The project's endpoint, if there is one."""
    mine = (Endpoint.project_id == project_id, Endpoint.id == endpoint_id)
    return session.scalars(select(Endpoint).where(*mine)).first()


def endpoints(session: Session, project_id: str, window: Window = NEWEST) -> Page[Endpoint]:
    """The project's endpoints, newest first."""
    mine = select(Endpoint).where(Endpoint.project_id == project_id)
    return newest(session, mine, Endpoint, window)


def update_endpoint(
    session: Session,
    endpoint: Endpoint,
    *,
    url: str | None = None,
    events: list[str] | None = None,
    disabled: bool | None = None,
) -> None:
    """Change what is given."""
    endpoint.url = url if url is not None else endpoint.url
    endpoint.events = events if events is not None else endpoint.events
    if disabled is not None:
        endpoint.disabled_at = (endpoint.disabled_at or now(session)) if disabled else None
    endpoint.changed_at = now(session)
    session.flush()


def delete_endpoint(session: Session, project_id: str, endpoint_id: str) -> bool:
    """Remove an endpoint and its deliveries; False: not there."""
    endpoint = get_endpoint(session, project_id, endpoint_id)
    if endpoint is not None:
        session.delete(endpoint)
        session.flush()
    return endpoint is not None


def announce(
    session: Session, project_id: str, job_id: str, event_type: str, data: dict[str, Any], webhook_url: str | None
) -> None:
    """Write one delivery for each live endpoint that wants the event, and one for the request's own URL."""
    live = select(Endpoint).where(Endpoint.project_id == project_id, Endpoint.disabled_at.is_(None))
    targets: list[tuple[str | None, str]] = [
        (endpoint.id, endpoint.url)
        for endpoint in session.scalars(live)
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
            rung_at=moment,
        )
        session.add(delivery)
        outbox.add(session, TASK, delivery.id)


def _body(event_type: str, moment: datetime, data: dict[str, Any]) -> bytes:
    """The message (Standard Webhooks 1.0, "Payload structure"), without its longest part if it is too long."""
    message = {"type": event_type, "timestamp": moment.isoformat(), "data": data}
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    if len(body) > LARGEST_BODY and "metadata" in data:
        return _body(event_type, moment, {key: value for key, value in data.items() if key != "metadata"})
    return body
