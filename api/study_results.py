"""The results of a study in an answer."""

from collections.abc import Sequence

from api import study_statistics
from api.fields import ResponseModel
from api.study_statistics import Answer
from ledger.models import Study


class StudyEstimate(ResponseModel):
    """A value with its 95 % interval."""

    value: float
    """The value from all answers that count."""

    low: float | None
    """Lower end of the interval; null with neither two raters nor two items, or if all answers agree."""

    high: float | None
    """Upper end of the interval; null with neither two raters nor two items, or if all answers agree."""


class StudySystem(ResponseModel):
    """One system in one question."""

    system: str
    """Name of the system."""

    comparisons: int
    """Number of its comparisons that count."""

    share: StudyEstimate
    """Share of its comparisons that it won, from 0 to 1; a tie counts half."""

    score: StudyEstimate
    """Logarithm of its strength in the model of Bradley and Terry, relative to the mean of the systems. The chance that
    one is preferred to another is 1 / (1 + exp(-difference))."""


class StudyQuestion(ResponseModel):
    """All systems in one question."""

    question: str
    """The question: `identity`, `background` or `satisfaction`."""

    comparisons: int
    """Number of answers that count."""

    agreement: float | None
    """Krippendorff's alpha of the raters: 1 is perfect, 0 is chance. Null if it cannot be computed."""

    systems: list[StudySystem]
    """The systems, the best first."""


class StudyRaterBody(ResponseModel):
    """One rater. Nothing tells who it was."""

    number: int
    """Number of the rater, in the order of the first answers."""

    answers: int
    """Number of answers, with those to checks and repeats."""

    median_seconds: float
    """Median time for an answer, as the browser measured it."""

    repeats: int
    """Number of questions that were answered twice."""

    repeats_agreed: int
    """How many of those had the same answer again."""

    checks: int
    """Number of answered attention checks."""

    checks_failed: int
    """How many of those had another answer than a tie."""

    same_answer_share: float
    """Largest share of one and the same answer (left, right or tie)."""

    excluded: list[str]
    """Names of the rules in `exclusion` that leave the rater out; empty if the answers count."""


class StudyResults(ResponseModel):
    """The results of a closed study."""

    study_id: str
    """Id of the study."""

    questions: list[StudyQuestion]
    """The questions that have answers that count."""

    raters: list[StudyRaterBody]
    """All raters who answered."""

    answers_used: int
    """Number of answers that the results use: without checks, repeats and raters who were left out."""


def results_body(study: Study, answers: Sequence[Answer]) -> StudyResults:
    """The results of a study's answers, under its own rules."""
    raters = study_statistics.raters(answers, study.exclusion)
    kept = {one.number for one in raters if not one.excluded}
    used = [answer for answer in answers if answer.kind == "question" and answer.rater in kept]
    found = [study_statistics.compare(used, question) for question in study.questions]
    return StudyResults(
        study_id=study.id,
        questions=[StudyQuestion.model_validate(one) for one in found if one is not None],
        raters=[StudyRaterBody.model_validate(one) for one in raters],
        answers_used=len(used),
    )
