"""Edits: the requests. The results are the job's artefacts, and the parameters are the job's."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Edit, new_id


@dataclass(frozen=True)
class Mix:
    """A second prior, its subject, and the weight with which an edit mixes it in."""

    prior_id: str
    subject_id: str
    weight: float


def draft(
    project_id: str,
    *,
    subject_id: str,
    prior_id: str | None,
    image_id: str,
    target_prompts: list[str],
    source_prompt: str | None = None,
    method: str = "nima",
    mask_image_id: str | None = None,
    mix: Mix | None = None,
) -> Edit:
    """A new edit, which the caller writes. The caller has looked up every id in the same project."""
    return Edit(
        id=new_id("edt"),
        project_id=project_id,
        subject_id=subject_id,
        prior_id=prior_id,
        mix_prior_id=mix.prior_id if mix else None,
        mix_subject_id=mix.subject_id if mix else None,
        mix_weight=mix.weight if mix else None,
        image_id=image_id,
        mask_image_id=mask_image_id,
        method=method,
        source_prompt=source_prompt,
        target_prompts=target_prompts,
    )


def get(session: Session, project_id: str, edit_id: str) -> Edit | None:
    """The project's edit, or None."""
    return session.scalars(select(Edit).where(Edit.project_id == project_id, Edit.id == edit_id)).first()
