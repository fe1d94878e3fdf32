"""The changes of jobs that a transaction has made, for the metrics of the program that commits it.

The functions that change a job note it in the session. A unit of work hands the notes to its observer after the commit,
so that a transaction that is rolled back or repeated is never counted.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

NOTES = "outcomes"


@dataclass(frozen=True)
class Ended:
    """The end of a job: its kind, terminal state, error code ("" without one), and seconds since its creation."""

    kind: str
    outcome: str
    code: str
    seconds: float


@dataclass(frozen=True)
class AttemptEnded:
    """The end of an attempt: its kind, and the seconds that it held a worker by the worker's clock."""

    kind: str
    seconds: float


@dataclass(frozen=True)
class AttemptLost:
    """An attempt whose lease ended, because its worker died or was cut off."""

    kind: str


Outcome = Ended | AttemptEnded | AttemptLost
Observer = Callable[[Outcome], None]


def note(session: Session, outcome: Outcome) -> None:
    """Note an outcome of the session's transaction."""
    session.info.setdefault(NOTES, []).append(outcome)


def hand_over(session: Session, observe: Observer) -> None:
    """Hand the notes of a session to the observer. Its transaction must be committed."""
    for outcome in session.info.pop(NOTES, ()):
        observe(outcome)
