"""Edits accepted per second by the API, beside the baseline endpoint of `benchmarks.baseline_api`.

Both run all the time and are under load in turns, so that other load on the machine affects both alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from redis import Redis
from sqlalchemy import delete, func, select

from benchmarks.baseline_api import QUEUE, BaselineEdit
from benchmarks.load import Round, run_load
from benchmarks.service_stack import Stack
from ledger.models import Edit, IdempotentRequest, Job
from ledger.notify import QUEUES

EDITS, KEYED, BASELINE = "LIPE", "LIPE, with idempotency keys", "baseline"


@dataclass(frozen=True)
class Submissions:
    """The rounds of each target, in the order of the turns."""

    rounds: Mapping[str, tuple[Round, ...]]


def measure(stack: Stack, *, rounds: int, seconds: float, connections: int) -> Submissions:
    """Raises AssertionError if an accepted submission has no row or no notification."""
    targets = {EDITS: stack.edit, KEYED: replace(stack.edit, is_keyed=True), BASELINE: stack.baseline}
    results: dict[str, list[Round]] = {name: [] for name in targets}
    for number in range(rounds + 1):
        for name, target in targets.items():
            result = run_load(target, connections, seconds if number else min(seconds, 2.0))
            _check_and_clear(stack, len(result.latencies), name)
            if number:  # the first turn is the warm-up
                results[name].append(result)
    return Submissions({name: tuple(each) for name, each in results.items()})


def _check_and_clear(stack: Stack, accepted: int, name: str) -> None:
    """Check that each accepted request left a row and a notification; then delete both."""
    table, queue = (BaselineEdit, QUEUE) if name == BASELINE else (Job, QUEUES["lipe.edit"])
    with stack.begin() as session:
        rows = session.scalar(select(func.count()).select_from(table))
        for kind in (Job, Edit, IdempotentRequest, BaselineEdit):
            session.execute(delete(kind))
    with Redis.from_url(stack.settings.broker_url) as broker:
        notifications = broker.llen(queue)
        broker.delete(queue)
    if rows != accepted or notifications < accepted:
        raise AssertionError(f"{name}: {accepted} accepted, {rows} rows, {notifications} notifications")
