"""The result of one check."""

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check ended. `PLAN` is for information."""

    FINE = "fine"
    FAILED = "failed"
    UNCHECKED = "unchecked"
    PLAN = "plan"


@dataclass(frozen=True)
class Finding:
    """One line of the output: the checked part, the result, and what was found or what to do."""

    part: str
    result: Result
    text: str


def fine(part: str, text: str) -> Finding:
    """A check that found what is needed."""
    return Finding(part, Result.FINE, text)


def failed(part: str, text: str) -> Finding:
    """A check that found a fault; `text` says what to do."""
    return Finding(part, Result.FAILED, text)


def unchecked(part: str, text: str) -> Finding:
    """A check that could not run; `text` says what it needs."""
    return Finding(part, Result.UNCHECKED, text)


def plan(part: str, text: str) -> Finding:
    """A line of the plan of GPU memory, which is neither right nor wrong."""
    return Finding(part, Result.PLAN, text)


def one_line(error: BaseException) -> str:
    """An error's message as one short line."""
    return " ".join(str(error).split())[:200]
