"""How the queues stand, over all projects: for the operator's monitoring only."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.jobs import Job
from ledger.states import TERMINAL, State
from ledger.webhooks import Delivery


@dataclass(frozen=True)
class Queue:
    """The unfinished jobs of one kind and state: how many, and for how many seconds the oldest has been there."""

    kind: str
    state: str
    depth: int
    oldest_seconds: float


def queues(session: Session) -> list[Queue]:
    """The kinds and states that have any job."""
    age = func.coalesce(func.extract("epoch", func.clock_timestamp() - func.min(Job.queued_at)), 0)
    found = []
    for state in (state for state in State if state not in TERMINAL):  # one by one: each has an index of its own
        query = select(Job.kind, func.count(), age).where(Job.state == state).group_by(Job.kind)
        found += [Queue(kind, state, depth, float(seconds)) for kind, depth, seconds in session.execute(query)]
    return found


def expired_leases(session: Session) -> int:
    """Running jobs whose worker does not answer any more and that the reaper has not yet found."""
    late = (Job.state == State.RUNNING, Job.lease_until < func.clock_timestamp())
    return session.scalar(select(func.count()).select_from(Job).where(*late)) or 0


def undelivered_webhooks(session: Session) -> int:
    """Deliveries that still wait for their receiver."""
    return session.scalar(select(func.count()).select_from(Delivery).where(Delivery.state == "pending")) or 0
