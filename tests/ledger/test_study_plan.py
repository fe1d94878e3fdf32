"""The questions of a rater: every pair and question once, at random sides, with repeats and checks."""

import secrets
from collections import Counter
from itertools import pairwise

import pytest

from ledger.study_plan import Case, Shape, count, plan

CASES = [Case(f"item{number}", ("a", "b", "c")) for number in range(6)]
QUESTIONS = ["identity", "background"]
ALL = 6 * 3 * 2  # cases, pairs and questions


def key(seed: int) -> bytes:
    return seed.to_bytes(20, "big")


def test_every_pair_is_asked_about_once() -> None:
    tasks = plan(key(1), CASES, QUESTIONS, Shape(200, 0, 0))
    asked = Counter((task.item_id, task.question, frozenset((task.left, task.right))) for task in tasks)
    assert len(tasks) == len(asked) == ALL
    assert {task.kind for task in tasks} == {"question"}
    assert all(task.left != task.right for task in tasks)


def test_the_plan_follows_from_the_key_and_differs_between_raters() -> None:
    shape = Shape(20, 3, 3)
    plans = [plan(key(seed), CASES, QUESTIONS, shape) for seed in range(30)]
    assert plans == [plan(key(seed), CASES, QUESTIONS, shape) for seed in range(30)]
    assert len({tuple(tasks) for tasks in plans}) == 30


def test_the_sides_are_even() -> None:
    lefts = Counter(
        task.left
        for seed in range(60)
        for task in plan(key(seed), [Case("item", ("a", "b"))] * 1, QUESTIONS, Shape(9, 0, 0))
    )
    assert 35 <= lefts["a"] <= 85  # of 120; outside of it by chance once in a million runs, and the keys are fixed


def test_all_pairs_are_asked_about_equally_often() -> None:
    chosen = Counter(
        (task.item_id, task.left < task.right)
        for seed in range(200)
        for task in plan(key(seed), CASES, QUESTIONS, Shape(6, 0, 0))
    )
    assert sum(chosen.values()) == 1200
    assert len(chosen) == 12
    assert all(60 <= number <= 140 for number in chosen.values())  # 100 on average


def test_a_repeat_comes_later_with_the_sides_exchanged() -> None:
    tasks = plan(key(2), CASES, QUESTIONS, Shape(20, 4, 0))
    repeats = [(place, task) for place, task in enumerate(tasks) if task.kind == "repeat"]
    assert len(repeats) == 4
    for place, task in repeats:
        exchanged = (task.item_id, task.question, task.right, task.left, "question")
        originals = [
            before
            for before, other in enumerate(tasks)
            if (other.item_id, other.question, other.left, other.right, other.kind) == exchanged
        ]
        assert len(originals) == 1
        assert originals[0] < place - 1


def test_a_check_shows_one_result_twice() -> None:
    tasks = plan(key(3), CASES, QUESTIONS, Shape(20, 0, 5))
    places = [place for place, task in enumerate(tasks) if task.kind == "check"]
    assert len(places) == 5
    assert all(tasks[place].left == tasks[place].right for place in places)
    assert max(later - place for place, later in pairwise(places)) <= 5  # spread over all


@pytest.mark.parametrize("shape", [Shape(1, 0, 0), Shape(1, 5, 5), Shape(200, 20, 20), Shape(3, 2, 0)])
def test_the_number_of_questions_is_known_without_the_plan(shape: Shape) -> None:
    for cases in (CASES, CASES[:1], []):
        assert count(cases, QUESTIONS, shape) == (len(plan(key(4), cases, QUESTIONS, shape)) if cases else 0)


def test_a_study_of_one_pair_has_no_repeat() -> None:
    tasks = plan(secrets.token_bytes(20), [Case("item", ("a", "b"))], ["identity"], Shape(60, 2, 0))
    assert [task.kind for task in tasks] == ["question"]
