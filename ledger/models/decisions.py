"""The table of decisions, which is append-only: triggers refuse to change or delete a row."""

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import Id, Moment, Row, list_index


class Decision(Row):
    """One decision of a project: the fields of `ledger.decisions.NewDecision`, and its place in the project's chain.

    `number` counts from 1. `previous` and `hash` are SHA-256 in hexadecimal digits. The foreign key has no cascade, so
    that a project with decisions cannot be deleted by accident.
    """

    __tablename__ = "decisions"
    __table_args__ = (
        list_index("decisions"),
        UniqueConstraint("project_id", "number"),
        Index("ix_decisions_ids", "ids", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )

    id: Mapped[Id]
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    number: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    policy: Mapped[str | None]
    actor: Mapped[str]
    ids: Mapped[list[str]]
    digests: Mapped[list[str]]
    previous: Mapped[str]
    hash: Mapped[str]
    created_at: Mapped[Moment]
