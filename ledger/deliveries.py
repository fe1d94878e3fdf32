"""Webhook deliveries: claim one for an attempt, record its outcome, notify workers of those that are due.

`next_attempt_at` is the time of the next attempt. A claim moves it forward by a lease, so a sender that dies delays the
delivery by one lease and never loses it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.orm import Session

from ledger import outbox
from ledger.database import now
from ledger.models import Delivery, OutboxEntry, Project, WebhookEndpoint
from ledger.pages import NEWEST, Page, Window, newest
from ledger.states import DeliveryState
from ledger.webhook_secrets import live
from ledger.webhooks import TASK

Outcome = Literal["delivered", "retry", "exhausted", "disabled"]
MAX_ATTEMPTS = 10
MAX_WAIT = timedelta(hours=27)
"""The longest time between two attempts, with its jitter."""
NO_OUTCOME = "the senders of the last attempts ended without an outcome"


@dataclass(frozen=True)
class DeliveryAttempt:
    """A claimed delivery. `attempt` counts from 1.

    `leased_until` identifies the claim: after a redelivery, another attempt has the same number.
    """

    delivery_id: str
    message_id: str
    url: str
    secrets: tuple[str, ...]
    body: bytes
    attempt: int
    leased_until: datetime
    traceparent: str | None = None


def get(session: Session, project_id: str, delivery_id: str) -> Delivery | None:
    """The project's delivery, or None."""
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
    for column, wanted in (
        (Delivery.endpoint_id, endpoint_id),
        (Delivery.job_id, job_id),
        (Delivery.state, state),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    return newest(session, query, Delivery, window)


def redeliver(session: Session, project_id: str, delivery_id: str) -> Delivery | None:
    """Send the delivery again, now and with all its attempts; the message id stays. None: not there."""
    mine = (Delivery.project_id == project_id, Delivery.id == delivery_id)
    delivery = session.scalars(select(Delivery).where(*mine).with_for_update()).first()
    if delivery is not None:
        delivery.state, delivery.attempts, delivery.delivered_at = "pending", 0, None
        delivery.next_attempt_at = delivery.notified_at = now(session)
        outbox.add(session, TASK, delivery.id)
        session.flush()
    return delivery


def destination(session: Session, delivery_id: str) -> tuple[str, str] | None:
    """The delivery's project, and its URL at the time of the event. None: not there."""
    found = session.execute(select(Delivery.project_id, Delivery.url).where(Delivery.id == delivery_id)).first()
    return None if found is None else (found.project_id, found.url)


def claim(session: Session, delivery_id: str, lease: float) -> DeliveryAttempt | None:
    """Claim the delivery for one attempt within `lease` seconds. None: it is claimed, has ended, or is not due.

    A delivery whose attempts never have an outcome, because its senders die, ends here.
    """
    due = (
        Delivery.id == delivery_id,
        Delivery.state == "pending",
        Delivery.next_attempt_at <= func.clock_timestamp(),
    )
    delivery = session.scalars(
        update(Delivery)
        .where(*due)
        .values(attempts=Delivery.attempts + 1, next_attempt_at=func.clock_timestamp() + timedelta(seconds=lease))
        .returning(Delivery)
    ).first()
    if delivery is None:
        return None
    if delivery.attempts > MAX_ATTEMPTS:
        delivery.attempts, delivery.state, delivery.last_error = MAX_ATTEMPTS, "exhausted", NO_OUTCOME
        return None
    project = session.get_one(Project, delivery.project_id)
    secrets, expires_at = project.webhook_secrets, project.former_secret_expires_at
    if delivery.endpoint_id is not None:
        endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
        if endpoint.disabled_at is not None:
            delivery.state = "disabled"
            return None
        secrets, expires_at, delivery.url = endpoint.secrets, endpoint.former_expires_at, endpoint.url
    secrets = live(secrets, expires_at, now(session))
    return DeliveryAttempt(
        delivery.id,
        delivery.message_id,
        delivery.url,
        tuple(secrets),
        delivery.body,
        delivery.attempts,
        delivery.next_attempt_at,
        delivery.traceparent,
    )


def record_outcome(
    session: Session,
    sent: DeliveryAttempt,
    outcome: Outcome,
    retry_in: float | None,
    status: int | None,
    error: str | None,
) -> None:
    """Record the outcome of an attempt, unless a newer one or a redelivery has begun.

    "disabled" (410) disables the endpoint, too.
    """
    is_claimed = (Delivery.attempts == sent.attempt, Delivery.next_attempt_at == sent.leased_until)
    mine = (Delivery.id == sent.delivery_id, Delivery.state == "pending", *is_claimed)
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
        enabled = (WebhookEndpoint.id == delivery.endpoint_id, WebhookEndpoint.disabled_at.is_(None))
        session.execute(update(WebhookEndpoint).where(*enabled).values(disabled_at=func.clock_timestamp()))


def notify_due(session: Session, *, seconds: float, limit: int = 100) -> int:
    """Notify a worker of each delivery that is due, and again after `seconds`: a message may be lost.

    The projects take turns: one with thousands of due deliveries does not delay the others. Returns the number of
    messages.
    """
    moment = func.clock_timestamp()
    turn = func.row_number().over(partition_by=Delivery.project_id, order_by=Delivery.next_attempt_at)
    due = (
        select(Delivery.id.label("id"), turn.label("turn"))
        .where(
            Delivery.state == "pending",
            Delivery.next_attempt_at <= moment,
            or_(
                Delivery.notified_at < Delivery.next_attempt_at,
                Delivery.notified_at < moment - timedelta(seconds=seconds),
            ),
            ~exists().where(OutboxEntry.identifier == Delivery.id),
        )
        .subquery()
    )
    first = select(due.c.id).order_by(due.c.turn).limit(limit)
    query = select(Delivery).where(Delivery.id.in_(first), Delivery.state == "pending")
    deliveries = list(session.scalars(query.with_for_update(skip_locked=True)))
    for delivery in deliveries:
        delivery.notified_at = now(session)
        outbox.add(session, TASK, delivery.id)
    return len(deliveries)
