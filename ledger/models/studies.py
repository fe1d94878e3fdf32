"""The tables of studies: people compare the results of systems, without knowing which system made which."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import Id, ListedProjectId, Moment, ProjectId, Row, list_index


class Study(Row):
    """A study. Its items, questions and rules are fixed at its creation; it takes answers until `closed_at`.

    `questions` are words of `study_plan.Question`; `exclusion` has the rules by which raters are left out.
    The token of its link is derived from the id (`study_links`), and stored nowhere.
    """

    __tablename__ = "studies"
    __table_args__ = (
        list_index("studies"),
        Index("ix_studies_closed_at", "closed_at"),
    )

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    name: Mapped[str]
    questions: Mapped[list[str]]
    exclusion: Mapped[dict[str, Any]]
    attention_checks: Mapped[int]
    repeats: Mapped[int]
    questions_per_rater: Mapped[int]
    max_raters: Mapped[int]
    closed_at: Mapped[datetime | None]
    created_at: Mapped[Moment]


class StudyItem(Row):
    """One case of a study: the prompt and seed, and the subject that its images show, if it is known."""

    __tablename__ = "study_items"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    subject_id: Mapped[str | None] = mapped_column(ForeignKey("subjects.id"), index=True)
    position: Mapped[int]
    prompt: Mapped[str]
    seed: Mapped[int | None] = mapped_column(BigInteger)


class StudyImage(Row):
    """An image of an item: `role` is "source", "reference" or "result", and a result has its `system`.

    It is an uploaded image, or an artefact of an edit. No foreign key has a cascade: `erasures` deletes the item first.
    """

    __tablename__ = "study_images"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    item_id: Mapped[str] = mapped_column(ForeignKey("study_items.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    role: Mapped[str]
    system: Mapped[str | None]
    image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id"), index=True)
    edit_id: Mapped[str | None] = mapped_column(ForeignKey("edits.id"), index=True)
    artefact_id: Mapped[str | None] = mapped_column(ForeignKey("artefacts.id"), index=True)


class StudyRater(Row):
    """A rater who has answered: the SHA-256 of the session that the browser made, and the rater's number from 1."""

    __tablename__ = "study_raters"
    __table_args__ = (UniqueConstraint("study_id", "digest"),)

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    number: Mapped[int]
    created_at: Mapped[Moment]


class StudyAnswer(Row):
    """One answer: `number` is the question's place in the rater's own order, so that it counts once.

    `kind` is that of `study_plan.Task`, and `answer` is "left", "right" or "tie".
    """

    __tablename__ = "study_answers"

    rater_id: Mapped[str] = mapped_column(ForeignKey("study_raters.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(ForeignKey("study_items.id", ondelete="CASCADE"), index=True)
    question: Mapped[str]
    kind: Mapped[str]
    left_system: Mapped[str]
    right_system: Mapped[str]
    answer: Mapped[str]
    seconds: Mapped[float] = mapped_column(Double)
    created_at: Mapped[Moment]
