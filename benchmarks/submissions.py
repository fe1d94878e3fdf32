"""How many edits a second the API accepts, beside a bare endpoint that writes one row and rings (benchmarks/bare.py).

Both run at once and take turns under load, so that whatever else the machine does falls on both alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from redis import Redis
from sqlalchemy import delete, func, select

from benchmarks.baseline_api import QUEUE, Order
from benchmarks.load import Round, drive
from benchmarks.service_stack import Stack
from ledger.models import Edit, IdempotentRequest, Job
from ledger.notify import QUEUES

EDITS, KEYED, BARE = "LIPE", "LIPE, with idempotency keys", "bare"


@dataclass(frozen=True)
class Submissions:
    """The rounds of each contestant, in turns."""

    rounds: Mapping[str, tuple[Round, ...]]


def measure(stack: Stack, *, rounds: int, seconds: float, connections: int) -> Submissions:
    """Raises AssertionError where an accepted submission has not left its row and its doorbell."""
    contestants = {EDITS: stack.edit, KEYED: replace(stack.edit, is_keyed=True), BARE: stack.bare}
    done: dict[str, list[Round]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, target in contestants.items():
            driven = drive(target, connections, seconds if number else min(seconds, 2.0))
            _settle(stack, len(driven.latencies), name)
            if number:  # the first turn warms up
                done[name].append(driven)
    return Submissions({name: tuple(each) for name, each in done.items()})


def _settle(stack: Stack, accepted: int, name: str) -> None:
    """Each answer has its row, and a doorbell that was rung for it; both are taken away."""
    table, queue = (Order, QUEUE) if name == BARE else (Job, QUEUES["lipe.edit"])
    with stack.begin() as session:
        rows = session.scalar(select(func.count()).select_from(table))
        for kind in (Job, Edit, IdempotentRequest, Order):
            session.execute(delete(kind))
    with Redis.from_url(stack.settings.broker_url) as broker:
        doorbells = broker.llen(queue)
        broker.delete(queue)
    if rows != accepted or doorbells < accepted:
        raise AssertionError(f"{name}: {accepted} answers, {rows} rows, {doorbells} doorbells")
