"""Priors: the learned artefacts of subjects. A row is made with its job and is ready when the job succeeds."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from ledger.models import Prior, new_id
from ledger.storage import import_prefix


def create(session: Session, project_id: str, subject_id: str, *, prior_id: str | None = None) -> Prior:
    """Create a prior that a job has still to learn, or to import: then its file is stored first, under `prior_id`."""
    prior = Prior(id=prior_id or new_id("pri"), project_id=project_id, subject_id=subject_id)
    session.add(prior)
    session.flush()
    return prior


def import_key(project_id: str, prior_id: str) -> str:
    """The key of the file that the prior is imported from. It is deleted some time after the import."""
    return f"{import_prefix(project_id, prior_id)}lora.safetensors"


def get(session: Session, project_id: str, prior_id: str) -> Prior | None:
    """The project's prior, ready or not, or None."""
    return session.scalars(select(Prior).where(Prior.project_id == project_id, Prior.id == prior_id)).first()


def is_base_model_unused(session: Session, fingerprint: str) -> bool:
    """Whether there are ready priors, but none of this base model."""
    ready = select(Prior.id).where(Prior.ready_at.is_not(None))
    of_this = ready.where(Prior.manifest["fingerprint"].astext == fingerprint)
    return bool(session.scalar(select(ready.exists() & ~of_this.exists())))


def mark_ready(
    session: Session,
    prior_id: str,
    *,
    manifest: dict[str, Any],
    adapter_key: str,
    adapter_sha256: str,
    reference_ids: Sequence[str] = (),
) -> None:
    """Record the manifest, the adapter and the images it was trained on, when the job succeeds."""
    session.execute(
        update(Prior)
        .where(Prior.id == prior_id)
        .values(
            manifest=manifest,
            adapter_key=adapter_key,
            adapter_sha256=adapter_sha256,
            reference_ids=list(reference_ids),
            ready_at=func.clock_timestamp(),
        )
    )
