"""Invariant 5: each event is delivered to each subscriber at least once, or its delivery is exhausted or disabled."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.deliveries import MAX_ATTEMPTS, MAX_WAIT
from ledger.models import Delivery, Event, Job, WebhookEndpoint

SETTLED = timedelta(minutes=1)
"""An endpoint that changed so shortly before an event may have missed it: its commit may have come later."""


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Events without a delivery, overdue deliveries, and deliveries that count as delivered without a 2xx answer."""
    to_url = select(Delivery).where(
        Delivery.job_id == Event.job_id,
        Delivery.event_type == Event.type,
        Delivery.endpoint_id.is_(None),
    )
    unsent = select(Event.type, Job.id).join(Job, Job.id == Event.job_id)
    wants = or_(
        func.jsonb_array_length(Job.webhook_events) == 0, Job.webhook_events.contains(func.to_jsonb(Event.type))
    )
    unsent = unsent.where(Event.terminal, Job.webhook_url.is_not(None), wants, ~to_url.exists())
    for kind, job_id in session.execute(unsent):
        yield Violation(5, f"job {job_id}", f"has a webhook URL, but no delivery of {kind}")

    to_endpoint = select(Delivery).where(
        Delivery.job_id == Event.job_id,
        Delivery.event_type == Event.type,
        Delivery.endpoint_id == WebhookEndpoint.id,
    )
    wants = or_(
        func.jsonb_array_length(WebhookEndpoint.events) == 0, WebhookEndpoint.events.contains(func.to_jsonb(Event.type))
    )
    missed = select(WebhookEndpoint.id, Event.type, Event.job_id).where(
        Event.terminal,
        Event.project_id == WebhookEndpoint.project_id,
        WebhookEndpoint.disabled_at.is_(None),
        WebhookEndpoint.changed_at + SETTLED < Event.created_at,
        wants,
        ~to_endpoint.exists(),
    )
    for endpoint_id, kind, job_id in session.execute(missed):
        yield Violation(5, f"webhook endpoint {endpoint_id}", f"has no delivery of {kind} of job {job_id}")

    overdue = Delivery.next_attempt_at < now(session) - bounds.patience
    for delivery in session.scalars(select(Delivery).where(Delivery.state == "pending", overdue)):
        due = f"{delivery.next_attempt_at:{MOMENT}}"
        yield Violation(5, f"webhook delivery {delivery.id}", f"is due since {due}, and no worker sends it")

    pending = select(Delivery).where(Delivery.state == "pending")
    for delivery in session.scalars(pending.where(Delivery.attempts > MAX_ATTEMPTS)):
        detail = f"had {delivery.attempts} attempts, and is not ended after {MAX_ATTEMPTS}"
        yield Violation(5, f"webhook delivery {delivery.id}", detail)
    far = Delivery.next_attempt_at > now(session) + MAX_WAIT + bounds.patience
    for delivery in session.scalars(pending.where(far)):
        due = f"{delivery.next_attempt_at:{MOMENT}}"
        yield Violation(5, f"webhook delivery {delivery.id}", f"waits until {due}, which is longer than any wait")

    answered = func.coalesce(Delivery.last_status, 0).between(200, 299)
    false = or_(Delivery.delivered_at.is_(None), ~answered)
    for delivery in session.scalars(select(Delivery).where(Delivery.state == "delivered", false)):
        status = delivery.last_status or "nothing"
        yield Violation(
            5, f"webhook delivery {delivery.id}", f"counts as delivered, although the receiver answered {status}"
        )
