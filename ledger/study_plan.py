"""The questions of one rater: which two results, which question, which side, and in which order.

The plan follows from a secret key of the rater, so it is the same at each request and stored nowhere. Some questions
come again with the sides exchanged (repeats). Others show one result twice (attention checks): only a tie is right.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

Question = Literal["identity", "background", "satisfaction"]
QUESTIONS: tuple[Question, ...] = get_args(Question)
Kind = Literal["question", "repeat", "check"]
Side = Literal["left", "right", "tie"]


@dataclass(frozen=True)
class Case:
    """An item of the study, as the plan needs it: its id and the systems that have a result for it, sorted."""

    item_id: str
    systems: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One question to a rater. A check has the same system on both sides."""

    item_id: str
    question: str
    left: str
    right: str
    kind: Kind

    def exchanged(self) -> "Task":
        """The same question again, with the sides exchanged."""
        return Task(self.item_id, self.question, self.right, self.left, "repeat")


@dataclass(frozen=True)
class Shape:
    """How many questions a rater gets: at most `questions`, and beside them `repeats` and `checks`."""

    questions: int
    repeats: int
    checks: int


def plan(key: bytes, cases: Sequence[Case], questions: Sequence[str], shape: Shape) -> list[Task]:
    """The rater's questions in order. Repeats follow in the second half, checks are spread over all."""
    pairs = [
        (case.item_id, *pair, one) for case in cases for pair in combinations(case.systems, 2) for one in questions
    ]
    chosen = sorted(pairs, key=lambda pair: _hash(key, "order", *pair))[: shape.questions]
    asked = [_sided(key, *pair) for pair in chosen]
    half, count = len(asked) // 2, len(asked)
    repeats = [task.exchanged() for task in asked[: min(shape.repeats, half)]]
    checks = [_check(key, cases, questions, number) for number in range(shape.checks)]
    placed = [
        *((float(place), task) for place, task in enumerate(asked)),
        *_spread(repeats, half, count),
        *_spread(checks, 0, count),
    ]
    return [task for _, task in sorted(placed, key=lambda one: one[0])]


def count(cases: Sequence[Case], questions: Sequence[str], shape: Shape) -> int:
    """The number of questions of every rater."""
    pairs = sum(len(case.systems) * (len(case.systems) - 1) // 2 for case in cases) * len(questions)
    asked = min(pairs, shape.questions)
    return asked + min(shape.repeats, asked // 2) + shape.checks if cases else 0


def _sided(key: bytes, item_id: str, one: str, other: str, question: str) -> Task:
    is_exchanged = _hash(key, "side", item_id, one, other, question)[0] % 2
    left, right = (other, one) if is_exchanged else (one, other)
    return Task(item_id, question, left, right, "question")


def _check(key: bytes, cases: Sequence[Case], questions: Sequence[str], number: int) -> Task:
    digest = _hash(key, "check", str(number))
    case = cases[int.from_bytes(digest[:4]) % len(cases)]
    system = case.systems[digest[4] % len(case.systems)]
    return Task(case.item_id, questions[digest[5] % len(questions)], system, system, "check")


def _spread(tasks: Sequence[Task], first: int, last: int) -> list[tuple[float, Task]]:
    """Places for tasks, evenly apart between those of two others."""
    step = (last - first) / (len(tasks) + 1)
    return [(first + step * (place + 1) - 0.25, task) for place, task in enumerate(tasks)]


def _hash(key: bytes, *parts: str) -> bytes:
    return hmac.digest(key, "\n".join(parts).encode(), hashlib.sha256)
