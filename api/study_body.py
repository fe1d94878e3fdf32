"""The bodies of studies: what an owner sends, and the study in answers."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from api.fields import Id, Moment, Name, RequestModel, ResponseModel, Text
from ledger.models import Study
from ledger.studies import Counts
from ledger.study_items import MAX_REFERENCES
from ledger.study_plan import QUESTIONS, Question

MAX_SYSTEMS, MAX_ITEMS = 8, 200
SystemName = Annotated[Text, Field(min_length=1, max_length=80)]


class Exclusion(RequestModel):
    """Rules by which raters are left out of the results. They are fixed when the study is created."""

    min_answers: Annotated[int, Field(ge=0, le=500)] = 1
    """Raters with fewer answers are left out. Raise it so that raters who stopped early do not count."""

    max_failed_checks: Annotated[int, Field(ge=0, le=20)] = 1
    """Raters who failed more attention checks are left out. Set 0 to be strict."""

    min_repeat_agreement: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Raters who gave the same answer to a smaller share of their repeats are left out. Raise it for questions that
    have clear answers."""

    min_median_seconds: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Raters whose median time for an answer is shorter are left out. Raise it if each question needs a closer
    look."""

    max_same_answer_share: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Raters who gave one and the same answer (left, right or tie) to a larger share are left out. It holds from 10
    answers on. Set 1 to allow it."""


class NewStudyItem(RequestModel):
    """One case of uploaded images."""

    results: Annotated[dict[SystemName, Id], Field(min_length=2, max_length=MAX_SYSTEMS)]
    """The image of each system, by the system's name."""

    prompt: Annotated[Text, Field(max_length=2000)] = ""
    """Text that the results were made for. Raters see it. Give it for the question of satisfaction."""

    source_image_id: Id | None = None
    """Id of the image before the edit. Default: none. Give it for the question of the background."""

    reference_image_ids: Annotated[list[Id], Field(max_length=MAX_REFERENCES)] = Field(default_factory=list)
    """Ids of images of the subject. Default: none. Give them for the question of identity."""

    subject_id: Id | None = None
    """Id of the subject that the images show. Default: none. Give it so that the item, with its results that nothing
    else uses, is erased together with the subject."""


class NewStudy(RequestModel):
    """A study of edits, or of uploaded images."""

    name: Name
    """Name of the study. Raters see it, so it must not name a system."""

    systems: (
        Annotated[
            dict[SystemName, Annotated[list[Id], Field(min_length=1, max_length=MAX_ITEMS)]],
            Field(min_length=2, max_length=MAX_SYSTEMS),
        ]
        | None
    ) = None
    """Ids of succeeded edits, by the name of the system that made them. Results of the same subject, image, prompt and
    seed are compared. Default: none. Give it or `items`."""

    items: Annotated[list[NewStudyItem], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    """Cases of uploaded images. Default: none. Give it or `systems`."""

    questions: Annotated[list[Question], Field(min_length=1, max_length=len(QUESTIONS))] = Field(
        default_factory=lambda: list(QUESTIONS)
    )
    """Questions about each pair of results: which one is more like the subject (`identity`), keeps the `background`
    better, or is the better answer to the prompt (`satisfaction`). Default: all three."""

    attention_checks: Annotated[int, Field(ge=0, le=20)] = 2
    """Number of questions to each rater that show the same result twice: only a tie is right. Set 0 for raters that you
    trust."""

    repeats: Annotated[int, Field(ge=0, le=20)] = 2
    """Number of questions that each rater gets again, with the sides exchanged; at most half of the others. Raise it to
    measure how constant raters are."""

    questions_per_rater: Annotated[int, Field(ge=1, le=200)] = 60
    """Largest number of questions to each rater, without checks and repeats; a random choice if there are more. Lower
    it if raters have little time."""

    max_raters: Annotated[int, Field(ge=1, le=1000)] = 50
    """Largest number of raters who may answer. Raise it for a large study."""

    exclusion: Exclusion = Exclusion()
    """Rules by which raters are left out of the results. Default: the rules' own. Change them before the study
    begins."""

    @model_validator(mode="after")
    def _has_one_kind(self) -> Self:
        if (self.systems is None) == (self.items is None):
            raise ValueError("give either systems, with ids of edits, or items, with ids of uploaded images")
        if len(set(self.questions)) < len(self.questions):
            raise ValueError("questions has the same question twice: remove one")
        return self


class ExclusionBody(ResponseModel):
    """Rules by which raters are left out of the results."""

    min_answers: int
    """Raters with fewer answers are left out."""

    max_failed_checks: int
    """Raters who failed more attention checks are left out."""

    min_repeat_agreement: float
    """Raters who gave the same answer to a smaller share of their repeats are left out."""

    min_median_seconds: float
    """Raters whose median time for an answer is shorter are left out."""

    max_same_answer_share: float
    """Raters of at least 10 answers who gave one answer to a larger share are left out."""


class StudyBody(ResponseModel):
    """A study, its state and its counts. It has no results until it is closed."""

    id: str
    """Id of the study."""

    name: str
    """Name of the study."""

    state: Literal["open", "closed"]
    """`open` while raters may answer. A study closes by its owner, or because an item of it was erased."""

    questions: list[str]
    """Questions about each pair of results."""

    systems: list[str]
    """Names of the compared systems, in alphabetical order."""

    items: int
    """Number of cases."""

    attention_checks: int
    """Number of attention checks for each rater."""

    repeats: int
    """Largest number of repeats for each rater."""

    questions_per_rater: int
    """Number of all questions to each rater, with checks and repeats."""

    max_raters: int
    """Largest number of raters who may answer."""

    exclusion: ExclusionBody
    """The rules of the results, as the study was created with them."""

    raters: int
    """Number of raters who have answered a question."""

    finished_raters: int
    """Number of raters who have answered all of theirs."""

    answers: int
    """Number of answers, with those to checks and repeats."""

    rater_token: str | None
    """Token of the raters' link: they open the studio at `#/rate/<token>`. Null for a key that cannot write, as the
    token gives the right to answer, and for a closed study."""

    created_at: Moment
    """Time at which the study was created, in UTC."""

    closed_at: Moment | None
    """Time at which it was closed, in UTC; null while it is open."""

    @classmethod
    def of(cls, study: Study, counts: Counts, token: str | None) -> "StudyBody":
        """The body of a row."""
        rules: Mapping[str, object] = study.exclusion
        return cls(
            id=study.id,
            name=study.name,
            state="open" if study.closed_at is None else "closed",
            questions=study.questions,
            systems=counts.systems,
            items=counts.items,
            attention_checks=study.attention_checks,
            repeats=study.repeats,
            questions_per_rater=counts.questions,
            max_raters=study.max_raters,
            exclusion=ExclusionBody.model_validate(rules),
            raters=counts.raters,
            finished_raters=counts.finished_raters,
            answers=counts.answers,
            rater_token=token if study.closed_at is None else None,
            created_at=study.created_at,
            closed_at=study.closed_at,
        )
