"""Artefacts: the objects that a succeeded job made. A row exists only if its object was verified."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.columns import Id, Moment, ProjectId
from ledger.database import Row, new_id
from ledger.storage import StoredObject


@dataclass(frozen=True)
class NewArtefact:
    """What an attempt made. `role` is one of ROLES; `details` says which prompt, seed, and so on."""

    role: str
    name: str
    content_type: str
    stored: StoredObject
    details: dict[str, Any] = field(default_factory=dict)


ROLES = ("adapter", "manifest", "image", "source_mask", "edit_mask", "uncomposited", "preview")


class Artefact(Row):
    """One object of a succeeded job, in the order in which the job listed them."""

    __tablename__ = "artefacts"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    role: Mapped[str]
    name: Mapped[str]
    content_type: Mapped[str]
    key: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[Moment]


def record(session: Session, project_id: str, job_id: str, made: Iterable[NewArtefact]) -> None:
    """Called by the transaction in which the job succeeds."""
    for position, artefact in enumerate(made):
        session.add(
            Artefact(
                id=new_id("art"),
                project_id=project_id,
                job_id=job_id,
                position=position,
                role=artefact.role,
                name=artefact.name,
                content_type=artefact.content_type,
                key=artefact.stored.key,
                size=artefact.stored.size,
                sha256=artefact.stored.sha256,
                details=artefact.details,
            )
        )


def of_job(session: Session, project_id: str, job_id: str) -> list[Artefact]:
    """The job's artefacts; none before it succeeded."""
    mine = (Artefact.project_id == project_id, Artefact.job_id == job_id)
    return list(session.scalars(select(Artefact).where(*mine).order_by(Artefact.position)))


def of_jobs(session: Session, project_id: str, job_ids: list[str]) -> dict[str, list[Artefact]]:
    """The artefacts of several jobs in one query, by job."""
    found: dict[str, list[Artefact]] = {job_id: [] for job_id in job_ids}
    mine = (Artefact.project_id == project_id, Artefact.job_id.in_(job_ids))
    for artefact in session.scalars(select(Artefact).where(*mine).order_by(Artefact.position)):
        found[artefact.job_id].append(artefact)
    return found


def get(session: Session, project_id: str, artefact_id: str) -> Artefact | None:
    """The project's artefact, if there is one."""
    mine = (Artefact.project_id == project_id, Artefact.id == artefact_id)
    return session.scalars(select(Artefact).where(*mine)).first()
