"""The statistics of a study, against simulations with known scores and against closed forms."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from math import exp, log, sqrt
from statistics import NormalDist, mean
from typing import Any

import pytest

from api.study_statistics import Answer, Estimate, agreement, compare, nominal_alpha, raters

OPEN = {
    "min_answers": 0, "max_failed_checks": 99, "min_repeat_agreement": 0, "min_median_seconds": 0,
    "max_same_answer_share": 1,
}  # fmt: skip


SPREAD = 1.2
"""Standard deviation of a system's score between items."""


def answered(rater: int, item: str, winner: str | None, left: str = "a", right: str = "b", **facts: Any) -> Answer:
    """An answer of a rater who prefers `winner`; None: a tie."""
    side = "tie" if winner is None else ("left" if winner == left else "right")
    return replace(Answer(rater, item, "identity", "question", left, right, side, 2.0), **facts)


def is_inside(value: float, estimate: Estimate) -> bool:
    """Whether the value is inside the interval."""
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low < value < estimate.high


def simulated(
    scores: Mapping[str, float], *, rater_count: int, items: int, seed: int, spread: float = 0.0
) -> Iterator[Answer]:
    """Answers of raters who follow the model of Bradley and Terry. `spread`: how far items differ from the scores."""
    chance = random.Random(seed)
    for item in range(items):
        shifted = {name: score + chance.gauss(0, spread) for name, score in scores.items()}
        for rater in range(rater_count):
            for pair in combinations(sorted(scores), 2):
                left, right = chance.sample(pair, 2)
                is_left = chance.random() < 1 / (1 + exp(shifted[right] - shifted[left]))
                yield answered(rater, f"item{item}", left if is_left else right, left, right)


def test_known_scores_are_found() -> None:
    scores = {"best": 1.0, "middle": 0.0, "worst": -1.0}
    found = compare(list(simulated(scores, rater_count=30, items=20, seed=1)), "identity")
    assert found is not None
    assert [one.system for one in found.systems] == ["best", "middle", "worst"]
    for system in found.systems:
        assert system.score.value == pytest.approx(scores[system.system], abs=0.15)
        assert is_inside(system.score.value, system.score)
        others = [other for name, other in scores.items() if name != system.system]
        share = sum(1 / (1 + exp(other - scores[system.system])) for other in others) / 2
        assert system.share.value == pytest.approx(share, abs=0.04)
        assert is_inside(system.share.value, system.share)


def test_the_intervals_hold_the_true_share_where_those_of_independent_answers_do_not() -> None:
    """Items differ from each other, so that 20 answers about one item say little more than one."""
    difference = NormalDist(1.0, SPREAD * sqrt(2))
    quantiles = [difference.inv_cdf((place + 0.5) / 2000) for place in range(2000)]
    true = mean(1 / (1 + exp(-one)) for one in quantiles)
    held = held_by_naive = 0
    for seed in range(16):
        answers = list(simulated({"a": 0.5, "b": -0.5}, rater_count=20, items=10, seed=seed, spread=SPREAD))
        found = compare(answers, "identity")
        assert found is not None
        share = next(one.share for one in found.systems if one.system == "a")
        held += is_inside(true, share)
        held_by_naive += abs(share.value - true) < 1.96 * sqrt(share.value * (1 - share.value) / len(answers))
    assert held >= 14
    assert held_by_naive <= 12


def test_two_systems_have_the_closed_form() -> None:
    answers = [answered(1, f"item{number}", "a" if number < 75 else "b") for number in range(100)]
    found = compare(answers, "identity")
    assert found is not None
    best, worst = found.systems
    assert best.share.value == 0.75
    assert best.score.value - worst.score.value == pytest.approx(log(75.1 / 25.1), abs=1e-3)
    assert best.score.value == pytest.approx(-worst.score.value)


def test_a_tie_is_half_a_win_for_each() -> None:
    answers = [answered(rater, f"item{item}", None) for rater in range(3) for item in range(3)]
    found = compare(answers, "identity")
    assert found is not None
    assert [(one.share.value, one.score.value) for one in found.systems] == [(0.5, 0.0), (0.5, 0.0)]
    assert found.agreement is None  # all answers are the same, so agreement and chance cannot be told apart


def test_a_system_that_always_wins_has_a_finite_score() -> None:
    found = compare([answered(rater, f"item{item}", "a") for rater in range(4) for item in range(4)], "identity")
    assert found is not None
    assert [one.share.value for one in found.systems] == [1, 0]
    assert all(one.share.low is None and one.score.high is None for one in found.systems)  # not an interval of width 0
    assert 0 < found.systems[0].score.value < 10


def test_a_single_answer_has_no_interval() -> None:
    found = compare([answered(1, "item", "a")], "identity")
    assert found is not None
    assert found.systems[0].share.low is None
    assert found.systems[0].score.high is None
    assert found.agreement is None


def test_a_question_without_answers_has_no_result() -> None:
    assert compare([], "identity") is None
    assert compare([answered(1, "item", "a")], "background") is None


def test_systems_that_were_never_compared_with_each_other_have_scores() -> None:
    answers = [answered(rater, f"item{item}", "a") for rater in range(2) for item in range(2)]
    answers += [answered(rater, f"item{item}", "c", "c", "d") for rater in range(2) for item in range(2)]
    found = compare(answers, "identity")
    assert found is not None
    assert {one.system for one in found.systems} == {"a", "b", "c", "d"}
    assert all(one.comparisons == 4 for one in found.systems)


def test_the_result_does_not_depend_on_the_order_and_the_sides() -> None:
    answers = list(simulated({"a": 0.5, "b": 0.0, "c": -0.5}, rater_count=3, items=4, seed=2))
    exchanged = {"left": "right", "right": "left", "tie": "tie"}
    turned = [replace(one, left=one.right, right=one.left, side=exchanged[one.side]) for one in answers]
    assert compare(answers, "identity") == compare(turned, "identity")


def test_alpha_is_that_of_the_published_example() -> None:
    """Four raters and twelve units, some without a value: Krippendorff (2011), nominal data, alpha 0.743."""
    rows = ("1 2 3 3 2 1 4 1 2 * * *", "1 2 3 3 2 2 4 1 2 5 * 3", "* 3 3 3 2 3 4 2 2 5 1 *", "1 2 3 3 2 4 4 1 2 5 1 *")
    units = [[value for value in unit if value != "*"] for unit in zip(*map(str.split, rows), strict=True)]
    assert nominal_alpha(units) == pytest.approx(0.743, abs=0.0005)


def test_agreement_is_between_chance_and_perfect() -> None:
    same = [answered(rater, f"item{item}", "ab"[item % 2]) for rater in range(3) for item in range(6)]
    assert agreement(same) == pytest.approx(1)
    chance = random.Random(3)
    answers = [answered(rater, f"item{item}", chance.choice("ab")) for rater in range(10) for item in range(200)]
    assert agreement(answers) == pytest.approx(0, abs=0.05)
    # Two raters and two items, of which they agree on one: 1 - (n - 1) * observed / expected, by hand.
    few = [answered(1, "x", "a"), answered(2, "x", "a"), answered(1, "y", "a"), answered(2, "y", "b")]
    assert agreement(few) == pytest.approx(1 - 3 * 2 / (2 * 3 * 1))


def test_items_of_a_single_rater_say_nothing_about_agreement() -> None:
    assert agreement([answered(1, "x", "a"), answered(2, "y", "b")]) is None


def test_each_rule_leaves_raters_out() -> None:
    def excluded(rule: str, limit: float, *answers: Answer) -> list[str]:
        (facts,) = raters(answers, OPEN | {rule: limit})
        return facts.excluded

    check = answered(1, "item", "a", "a", "a", kind="check")
    assert check.side == "left"
    assert excluded("max_failed_checks", 0, check) == ["max_failed_checks"]
    assert excluded("max_failed_checks", 1, check) == []
    assert excluded("max_failed_checks", 0, replace(check, side="tie")) == []
    first, again = answered(1, "item", "a"), answered(1, "item", "b", "b", "a", kind="repeat")
    assert excluded("min_repeat_agreement", 0.5, first, again) == ["min_repeat_agreement"]
    assert excluded("min_repeat_agreement", 0.5, first, replace(again, side="right")) == []
    assert excluded("min_repeat_agreement", 0.5, again) == []  # its original has no answer
    assert excluded("min_answers", 2, first) == ["min_answers"]
    quick = [answered(1, f"item{number}", "a", seconds=seconds) for number, seconds in enumerate((0.1, 0.1, 9.0))]
    assert excluded("min_median_seconds", 0.5, *quick) == ["min_median_seconds"]
    left = [answered(1, f"item{number}", "a") for number in range(10)]
    assert excluded("max_same_answer_share", 0.95, *left) == ["max_same_answer_share"]
    assert excluded("max_same_answer_share", 0.95, *left[:9]) == []  # too few to say so


def test_the_facts_of_raters_are_counted() -> None:
    answers = [
        answered(2, "x", "a"),
        answered(2, "x", "a", "b", "a", kind="repeat"),
        answered(2, "y", None, "a", "a", kind="check", seconds=4.0),
        answered(1, "x", "b"),
    ]
    one, two = raters(answers, OPEN)
    assert (one.number, one.answers, one.same_answer_share) == (1, 1, 1)
    assert (two.number, two.answers, two.repeats, two.repeats_agreed, two.checks, two.checks_failed) == (
        2,
        3,
        1,
        1,
        1,
        0,
    )
    assert two.median_seconds == 2
