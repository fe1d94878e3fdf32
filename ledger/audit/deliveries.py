"""Invariant 5: each event is delivered at least once to each subscriber, or ends visible as exhausted or disabled."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.events import Event
from ledger.jobs import Job
from ledger.webhooks import Delivery, Endpoint

SETTLED = timedelta(minutes=1)
"""An endpoint that was changed so shortly before an event may rightly have missed it: its commit came after."""


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Events without a delivery, deliveries that nobody makes, and those that were never made."""
    to_url = select(Delivery).where(
        Delivery.job_id == Event.job_id, Delivery.event_type == Event.type, Delivery.endpoint_id.is_(None)
    )
    unsent = select(Event.type, Job.id).join(Job, Job.id == Event.job_id)
    for kind, job_id in session.execute(unsent.where(Event.terminal, Job.webhook_url.is_not(None), ~to_url.exists())):
        yield Violation(5, f"job {job_id}", f"asked for webhooks, but has no delivery of {kind}")

    to_endpoint = select(Delivery).where(Delivery.job_id == Event.job_id, Delivery.endpoint_id == Endpoint.id)
    wants = or_(func.jsonb_array_length(Endpoint.events) == 0, Endpoint.events.contains(func.to_jsonb(Event.type)))
    missed = select(Endpoint.id, Event.type, Event.job_id).where(
        Event.terminal,
        Event.project_id == Endpoint.project_id,
        Endpoint.disabled_at.is_(None),
        Endpoint.changed_at + SETTLED < Event.created_at,
        wants,
        ~to_endpoint.exists(),
    )
    for endpoint_id, kind, job_id in session.execute(missed):
        yield Violation(5, f"webhook endpoint {endpoint_id}", f"has no delivery of {kind} of job {job_id}")

    overdue = Delivery.next_attempt_at < now(session) - bounds.patience
    for delivery in session.scalars(select(Delivery).where(Delivery.state == "pending", overdue)):
        due = f"{delivery.next_attempt_at:{MOMENT}}"
        yield Violation(5, f"webhook delivery {delivery.id}", f"is due since {due}, and nobody makes it")

    answered = func.coalesce(Delivery.last_status, 0).between(200, 299)
    false = or_(Delivery.delivered_at.is_(None), ~answered)
    for delivery in session.scalars(select(Delivery).where(Delivery.state == "delivered", false)):
        status = delivery.last_status or "nothing"
        yield Violation(5, f"webhook delivery {delivery.id}", f"counts as delivered, though {status} was answered")
