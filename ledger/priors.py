"""Priors: what was learnt of a subject. A row is made with its job and becomes ready when the job succeeds."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.columns import Id, Moment, ProjectId
from ledger.database import Row, new_id


class Prior(Row):
    """`manifest` (with the base model's fingerprint) and `adapter_sha256` are there once it is ready."""

    __tablename__ = "priors"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True)
    manifest: Mapped[dict[str, Any] | None]
    adapter_key: Mapped[str | None]
    adapter_sha256: Mapped[str | None]
    ready_at: Mapped[datetime | None]
    created_at: Mapped[Moment]


def create(session: Session, project_id: str, subject_id: str) -> Prior:
    """A prior that is still to be learnt."""
    prior = Prior(id=new_id("pri"), project_id=project_id, subject_id=subject_id)
    session.add(prior)
    session.flush()
    return prior


def get(session: Session, project_id: str, prior_id: str) -> Prior | None:
    """The project's prior, ready or not, if there is one."""
    return session.scalars(select(Prior).where(Prior.project_id == project_id, Prior.id == prior_id)).first()


def default(session: Session, project_id: str, subject_id: str) -> Prior | None:
    """The subject's newest ready prior."""
    mine = (Prior.project_id == project_id, Prior.subject_id == subject_id, Prior.ready_at.is_not(None))
    return session.scalars(select(Prior).where(*mine).order_by(Prior.ready_at.desc()).limit(1)).first()


def mark_ready(
    session: Session, prior_id: str, *, manifest: dict[str, Any], adapter_key: str, adapter_sha256: str
) -> None:
    """Called by the transaction in which the job succeeds."""
    session.execute(
        update(Prior)
        .where(Prior.id == prior_id)
        .values(
            manifest=manifest,
            adapter_key=adapter_key,
            adapter_sha256=adapter_sha256,
            ready_at=func.clock_timestamp(),
        )
    )
