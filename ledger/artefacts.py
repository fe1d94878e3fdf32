"""Artefacts: the objects that a succeeded job stored. A row exists only if its object was verified."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Artefact, new_id
from ledger.storage import StoredObject


@dataclass(frozen=True)
class NewArtefact:
    """An object that an attempt stored; `details` has its prompt, seed and so on.

    `role`: "adapter", "manifest", "snapshot", "snapshot_manifest", "image", "source_mask", "edit_mask", "uncomposited"
    or "preview". A prior may use a snapshot instead of its adapter (`ledger.snapshots`).
    """

    role: str
    name: str
    content_type: str
    stored: StoredObject
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "NewArtefact":
        """The inverse of `to_json`."""
        return cls(**{**fields, "stored": StoredObject(**fields["stored"])})


def record(session: Session, project_id: str, job_id: str, new_artefacts: Iterable[NewArtefact]) -> None:
    """Write the rows, in the transaction in which the job succeeds."""
    for position, artefact in enumerate(new_artefacts):
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
    """The job's artefacts in the job's order; empty unless it succeeded."""
    mine = (Artefact.project_id == project_id, Artefact.job_id == job_id)
    return list(session.scalars(select(Artefact).where(*mine).order_by(Artefact.position)))
