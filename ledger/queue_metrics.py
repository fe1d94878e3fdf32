"""Metrics of the queues over all projects, for the operator's monitoring."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger import leases
from ledger.models import Delivery, Job
from ledger.states import TERMINAL, State


@dataclass(frozen=True)
class Queue:
    """The jobs of one kind and non-terminal state: their number, and the seconds since the oldest was queued."""

    kind: str
    state: str
    depth: int
    oldest_seconds: float


def queues(session: Session) -> list[Queue]:
    """The queues that have at least one job."""
    age = func.coalesce(func.extract("epoch", func.clock_timestamp() - func.min(Job.queued_at)), 0)
    found = []
    for state in (state for state in State if state not in TERMINAL):  # a partial index for each
        query = select(Job.kind, func.count(), age).where(Job.state == state).group_by(Job.kind)
        found += [Queue(kind, state, depth, float(seconds)) for kind, depth, seconds in session.execute(query)]
    return found


def expired_leases(session: Session) -> int:
    """The number of running jobs whose lease has ended and that the reaper has not handled yet."""
    late = leases.of_running().where(leases.until() < func.clock_timestamp())
    return session.scalar(late.with_only_columns(func.count())) or 0


def undelivered_webhooks(session: Session) -> int:
    """The number of deliveries that their receivers have not accepted yet."""
    return session.scalar(select(func.count()).select_from(Delivery).where(Delivery.state == "pending")) or 0
