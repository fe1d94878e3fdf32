"""The way of a webhook delivery: rung for when due, taken for one attempt, and what came of it.

When to try next is `next_attempt_at`; taking a delivery pushes it forward by a lease, so a sender that dies costs
one lease, never the delivery.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.orm import Session

from ledger import outbox
from ledger.database import now
from ledger.pages import NEWEST, Page, Window, newest
from ledger.projects import Project
from ledger.webhooks import TASK, Delivery, Endpoint

Outcome = Literal["delivered", "retry", "exhausted", "disabled"]
DeliveryState = Literal["pending", "delivered", "exhausted", "disabled"]


@dataclass(frozen=True)
class Sending:
    """A delivery taken for attempt number `attempt` (1, 2, ...)."""

    delivery_id: str
    message_id: str
    url: str
    secrets: tuple[str, ...]
    body: bytes
    attempt: int


def get(session: Session, project_id: str, delivery_id: str) -> Delivery | None:
    """The project's delivery, if there is one."""
    mine = (Delivery.project_id == project_id, Delivery.id == delivery_id)
    return session.scalars(select(Delivery).where(*mine)).first()


def listing(
    session: Session,
    project_id: str,
    window: Window = NEWEST,
    *,
    endpoint_id: str | None = None,
    job_id: str | None = None,
    state: DeliveryState | None = None,
) -> Page[Delivery]:
    """The project's deliveries, newest first."""
    query = select(Delivery).where(Delivery.project_id == project_id)
    for column, wanted in ((Delivery.endpoint_id, endpoint_id), (Delivery.job_id, job_id), (Delivery.state, state)):
        if wanted is not None:
            query = query.where(column == wanted)
    return newest(session, query, Delivery, window)


def redeliver(session: Session, project_id: str, delivery_id: str) -> Delivery | None:
    """Send it again, at once and with a fresh row of attempts; the message id stays. None: not there."""
    mine = (Delivery.project_id == project_id, Delivery.id == delivery_id)
    delivery = session.scalars(select(Delivery).where(*mine).with_for_update()).first()
    if delivery is not None:
        delivery.state, delivery.attempts, delivery.delivered_at = "pending", 0, None
        delivery.next_attempt_at = delivery.rung_at = now(session)
        outbox.add(session, TASK, delivery.id)
        session.flush()
    return delivery


def destination(session: Session, delivery_id: str) -> tuple[str, str] | None:
    """The delivery's project and its URL as it was announced. None: not there."""
    found = session.execute(select(Delivery.project_id, Delivery.url).where(Delivery.id == delivery_id)).first()
    return None if found is None else (found.project_id, found.url)


def take(session: Session, delivery_id: str, lease: float) -> Sending | None:
    """The right to make one attempt within `lease` seconds. None: somebody else has it, it is over, or not due."""
    due = (Delivery.id == delivery_id, Delivery.state == "pending", Delivery.next_attempt_at <= func.clock_timestamp())
    delivery = session.scalars(
        update(Delivery)
        .where(*due)
        .values(attempts=Delivery.attempts + 1, next_attempt_at=func.clock_timestamp() + timedelta(seconds=lease))
        .returning(Delivery)
    ).first()
    if delivery is None:
        return None
    secrets = session.get_one(Project, delivery.project_id).webhook_secrets
    if delivery.endpoint_id is not None:
        endpoint = session.get_one(Endpoint, delivery.endpoint_id)
        if endpoint.disabled_at is not None:
            delivery.state = "disabled"
            return None
        secrets, delivery.url = endpoint.secrets, endpoint.url
    return Sending(delivery.id, delivery.message_id, delivery.url, tuple(secrets), delivery.body, delivery.attempts)


def settle(
    session: Session,
    delivery_id: str,
    attempt: int,
    outcome: Outcome,
    retry_in: float | None,
    status: int | None,
    error: str | None,
) -> None:
    """What came of an attempt; nothing if a newer one began. "disabled" (410) ends the endpoint, too."""
    mine = (Delivery.id == delivery_id, Delivery.attempts == attempt, Delivery.state == "pending")
    delivery = session.scalars(select(Delivery).where(*mine).with_for_update()).first()
    if delivery is None:
        return
    delivery.last_status, delivery.last_error = status, error
    if outcome == "retry":
        delivery.next_attempt_at = now(session) + timedelta(seconds=retry_in or 0.0)
        return
    delivery.state = outcome
    if outcome == "delivered":
        delivery.delivered_at = now(session)
    if outcome == "disabled" and delivery.endpoint_id is not None:
        live = (Endpoint.id == delivery.endpoint_id, Endpoint.disabled_at.is_(None))
        session.execute(update(Endpoint).where(*live).values(disabled_at=func.clock_timestamp()))


def notify_due(session: Session, *, seconds: float, limit: int = 100) -> int:
    """Call a worker for each delivery that is due; again after `seconds`, for a doorbell may be lost. The number."""
    moment = func.clock_timestamp()
    due = (
        select(Delivery)
        .where(
            Delivery.state == "pending",
            Delivery.next_attempt_at <= moment,
            or_(Delivery.rung_at < Delivery.next_attempt_at, Delivery.rung_at < moment - timedelta(seconds=seconds)),
            ~exists().where(outbox.Entry.identifier == Delivery.id),
        )
        .order_by(Delivery.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    deliveries = list(session.scalars(due))
    for delivery in deliveries:
        delivery.rung_at = now(session)
        outbox.add(session, TASK, delivery.id)
    return len(deliveries)
