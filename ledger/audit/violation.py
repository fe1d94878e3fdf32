"""The violations that an audit finds, and its parameters."""

from dataclasses import dataclass
from datetime import timedelta

MOMENT = "%Y-%m-%d %H:%M:%S %Z"
"""The format of a time in a violation."""


@dataclass(frozen=True)
class Violation:
    """One violation: the invariant's number (1 to 11), the row or object ("job job_9f1c..."), and the fault."""

    invariant: int
    thing: str
    detail: str


@dataclass(frozen=True)
class Bounds:
    """The parameters of `audit`, which describes them."""

    patience: timedelta
    key_lifetime: timedelta
    lease: timedelta = timedelta(hours=1)
