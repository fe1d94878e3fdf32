"""The statistics of a study: who counts, how the systems compare, and how far the raters agree.

Strengths are those of the Bradley and Terry model (1952), where a tie is half a win for each. The intervals come from a
bootstrap that draws raters and items anew, both with replacement (the pigeonhole bootstrap of Owen, 2007), because
answers by one rater, and answers about one item, depend on each other. Agreement is Krippendorff's alpha (2011).

NumPy and choix are imported at the first use: they would slow the start of the API.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

RESAMPLES = 500
LEVEL = 0.95
PRIOR_WINS = 0.1
"""Wins that each system gets against each other one, so that one that always wins has a finite strength."""
TOLERANCE = 1e-4
"""Of the strengths: far below the width of any interval."""
SEED = 1
MIN_ANSWERS_FOR_SHARE = 10
"""Raters with fewer answers may give the same one always."""


@dataclass(frozen=True)
class Answer:
    """One answer. `kind` is "question", "repeat" or "check"; `side` is "left", "right" or "tie"."""

    rater: int
    item: str
    question: str
    kind: str
    left: str
    right: str
    side: str
    seconds: float

    @property
    def preferred(self) -> str | None:
        """The preferred system; None for a tie."""
        return {"left": self.left, "right": self.right}.get(self.side)

    @property
    def pair(self) -> tuple[str, str]:
        """The two systems in alphabetical order."""
        return (self.left, self.right) if self.left < self.right else (self.right, self.left)


@dataclass(frozen=True)
class RaterFacts:
    """One rater, and the reasons for which the rater is left out; empty: the answers count."""

    number: int
    answers: int
    median_seconds: float
    repeats: int
    repeats_agreed: int
    checks: int
    checks_failed: int
    same_answer_share: float
    excluded: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval. There is none with neither two raters nor two items, or if all answers agree."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SystemFacts:
    """One system in one question. `share`: of comparisons won, a tie is half (0 to 1). `score`: log of the strength,
    relative to the mean of the systems."""

    system: str
    comparisons: int
    share: Estimate
    score: Estimate


@dataclass(frozen=True)
class QuestionFacts:
    """All systems in one question, the best first. `agreement` is None if no two raters answered the same question, or
    if all answers are the same."""

    question: str
    comparisons: int
    systems: list[SystemFacts]
    agreement: float | None


def raters(answers: Sequence[Answer], rules: Mapping[str, float]) -> list[RaterFacts]:
    """The facts about each rater, with the rules that leave the rater out."""
    mine: dict[int, list[Answer]] = {}
    for answer in answers:
        mine.setdefault(answer.rater, []).append(answer)
    return [_rater(number, given, rules) for number, given in sorted(mine.items())]


def compare(answers: Sequence[Answer], question: str) -> QuestionFacts | None:
    """The systems in one question. The caller leaves out raters, checks and repeats. None: there is no answer."""
    asked = [answer for answer in answers if answer.question == question]
    if not asked:
        return None
    import numpy as np

    names = sorted({name for answer in asked for name in answer.pair})
    table = _Table.of(asked, names)
    shares, scores = _estimates(table.wins(np.ones(len(asked))))
    generator = np.random.default_rng(SEED)
    resampled = []
    if table.raters > 1 or table.items > 1:
        for _ in range(RESAMPLES):
            drawn = _draws(generator, table.raters)[table.rater] * _draws(generator, table.items)[table.item]
            if drawn.any():
                resampled.append(_estimates(table.wins(drawn), scores))
    systems = []
    for place, name in enumerate(names):
        drawn_shares, drawn_scores = ([one[kind][place] for one in resampled] for kind in (0, 1))
        if shares[place] in (0, 1):  # every resample agrees, too, so that the bootstrap says nothing
            drawn_shares, drawn_scores = [], []
        comparisons = sum(name in answer.pair for answer in asked)
        share, score = _estimate(shares[place], drawn_shares), _estimate(scores[place], drawn_scores)
        systems.append(SystemFacts(name, comparisons, share, score))
    systems.sort(key=lambda one: -one.score.value)
    return QuestionFacts(question, len(asked), systems, agreement(asked))


def agreement(answers: Sequence[Answer]) -> float | None:
    """Krippendorff's alpha of the raters, over the same pair of results of the same item."""
    units: dict[tuple[str, tuple[str, str]], list[str | None]] = {}
    for answer in answers:
        units.setdefault((answer.item, answer.pair), []).append(answer.preferred)
    return nominal_alpha(list(units.values()))


def nominal_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal values: 1 is perfect agreement, 0 is chance.

    A unit has the values that different raters gave it. Units with a single value say nothing and are left out. None if
    no unit is left, or if all values are the same: then chance cannot be told from agreement.
    """
    shared = [unit for unit in units if len(unit) > 1]
    values = Counter(value for unit in shared for value in unit)
    total = sum(values.values())
    by_chance = total**2 - sum(count**2 for count in values.values())
    if by_chance == 0:
        return None
    disagreeing = sum(
        (len(unit) ** 2 - sum(count**2 for count in Counter(unit).values())) / (len(unit) - 1) for unit in shared
    )
    return 1 - (total - 1) * disagreeing / by_chance


def _rater(number: int, answers: Sequence[Answer], rules: Mapping[str, float]) -> RaterFacts:
    first = {(a.item, a.question, a.pair): a.preferred for a in answers if a.kind == "question"}
    # The original of a repeat may be missing: answers may come in any order.
    repeats = [a for a in answers if a.kind == "repeat" and (a.item, a.question, a.pair) in first]
    checks = [answer for answer in answers if answer.kind == "check"]
    sides = Counter(answer.side for answer in answers)
    facts = RaterFacts(
        number,
        len(answers),
        median(answer.seconds for answer in answers),
        len(repeats),
        sum(first[a.item, a.question, a.pair] == a.preferred for a in repeats),
        len(checks),
        sum(answer.side != "tie" for answer in checks),
        max(sides.values()) / len(answers),
    )
    facts.excluded.extend(_reasons(facts, rules))
    return facts


def _reasons(facts: RaterFacts, rules: Mapping[str, float]) -> list[str]:
    """The names of the rules that leave the rater out."""
    broken = {
        "min_answers": facts.answers < rules["min_answers"],
        "max_failed_checks": facts.checks_failed > rules["max_failed_checks"],
        "min_repeat_agreement": facts.repeats > 0
        and facts.repeats_agreed / facts.repeats < rules["min_repeat_agreement"],
        "min_median_seconds": facts.median_seconds < rules["min_median_seconds"],
        "max_same_answer_share": facts.answers >= MIN_ANSWERS_FOR_SHARE
        and facts.same_answer_share > rules["max_same_answer_share"],
    }
    return [rule for rule, is_broken in broken.items() if is_broken]


@dataclass(frozen=True)
class _Table:
    """Comparisons as arrays: indices of rater, item and the two systems, and the score of the first system."""

    rater: Any
    item: Any
    first: Any
    second: Any
    score: Any
    raters: int
    items: int
    systems: int

    @classmethod
    def of(cls, answers: Sequence[Answer], names: Sequence[str]) -> "_Table":
        """The table of answers."""
        import numpy as np

        raters, rater = np.unique([answer.rater for answer in answers], return_inverse=True)
        items, item = np.unique([answer.item for answer in answers], return_inverse=True)
        places = {name: place for place, name in enumerate(names)}
        first, second = (np.array([places[answer.pair[side]] for answer in answers]) for side in (0, 1))
        score = np.array([0.5 if a.preferred is None else float(a.preferred == a.pair[0]) for a in answers])
        return cls(rater, item, first, second, score, len(raters), len(items), len(names))

    def wins(self, weights: Any) -> Any:
        """The weighted number of wins of each system (row) against each other one (column)."""
        import numpy as np

        size = self.systems
        won = np.bincount(self.first * size + self.second, weights * self.score, size * size)
        lost = np.bincount(self.second * size + self.first, weights * (1 - self.score), size * size)
        return (won + lost).reshape(size, size)


def _draws(generator: Any, count: int) -> Any:
    """How often each of `count` is drawn, with replacement."""
    import numpy as np

    return np.bincount(generator.integers(count, size=count), minlength=count)


def _estimates(wins: Any, start: Any = None) -> tuple[Any, Any]:
    """The share of comparisons won, and the centred log strengths, searched from `start`.

    A system without comparisons has the share NaN.
    """
    import choix
    import numpy as np

    compared = wins + wins.T
    total = compared.sum(axis=1)
    shares = np.divide(wins.sum(axis=1), total, out=np.full(len(wins), np.nan), where=total > 0)
    prior = PRIOR_WINS * (1 - np.eye(len(wins)))
    scores = choix.ilsr_pairwise_dense(wins + prior, initial_params=start, tol=TOLERANCE)
    return shares, scores - scores.mean()


def _estimate(value: Any, resampled: Sequence[Any]) -> Estimate:
    import numpy as np

    known = np.asarray(resampled, dtype=float)
    known = known[~np.isnan(known)]
    if not len(known):
        return Estimate(float(value), None, None)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))
