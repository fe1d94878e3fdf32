"""Studies and their results."""

from datetime import datetime
from typing import Literal

from lipe_client.model import Model

StudyQuestion = Literal["identity", "background", "satisfaction"]


class Study(Model):
    """A study, its state ("open" or "closed") and its counts.

    `rater_token` is the token of the raters' link; None for a key that cannot write, and for a closed study.
    """

    id: str
    name: str
    state: str
    questions: tuple[str, ...]
    systems: tuple[str, ...]
    items: int
    attention_checks: int
    repeats: int
    questions_per_rater: int
    max_raters: int
    exclusion: dict[str, float]
    raters: int
    finished_raters: int
    answers: int
    rater_token: str | None
    created_at: datetime
    closed_at: datetime | None


class Estimate(Model):
    """A value with its 95 % interval; without one if there are too few answers, or all agree."""

    value: float
    low: float | None
    high: float | None


class ComparedSystem(Model):
    """One system in one question. `share` is of comparisons won, `score` the centred logarithm of the strength."""

    system: str
    comparisons: int
    share: Estimate
    score: Estimate


class QuestionResults(Model):
    """All systems in one question, the best first. `agreement` is Krippendorff's alpha."""

    question: str
    comparisons: int
    agreement: float | None
    systems: tuple[ComparedSystem, ...]


class StudyRater(Model):
    """One rater. `excluded` has the names of the rules that leave the rater out."""

    number: int
    answers: int
    median_seconds: float
    repeats: int
    repeats_agreed: int
    checks: int
    checks_failed: int
    same_answer_share: float
    excluded: tuple[str, ...]


class StudyResults(Model):
    """The results of a closed study."""

    study_id: str
    questions: tuple[QuestionResults, ...]
    raters: tuple[StudyRater, ...]
    answers_used: int
