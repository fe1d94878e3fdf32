"""What an audit finds, and what it is told."""

from dataclasses import dataclass
from datetime import timedelta

MOMENT = "%Y-%m-%d %H:%M:%S %Z"
"""How a violation tells a time."""
UNBOUNDED = 2**31 - 1


@dataclass(frozen=True)
class Violation:
    """One broken promise: the invariant's number (1 to 9), the thing ("job job_9f1c...") and what is wrong with it."""

    invariant: int
    thing: str
    detail: str


@dataclass(frozen=True)
class Bounds:
    """`patience`: how late something may be; `key_lifetime`: how long an idempotency key is kept.

    `max_running`: how many jobs of one project may run at once.
    """

    patience: timedelta
    key_lifetime: timedelta
    max_running: int
