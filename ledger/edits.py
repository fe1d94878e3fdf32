"""Edits: the requests. The results are the job's artefacts, and the parameters are the job's."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Edit, new_id

KIND = "edt"
PREFIX = f"{KIND}_"
ID_DIGITS, MARK_DIGITS = 32, 8
"""The hexadecimal digits of an id, and those that a watermark carries."""


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
        id=new_id(KIND),
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


def mark_number(edit_id: str) -> int:
    """The message of a watermark in the edit's results: the first 32 bits of the id, which are random."""
    return int(edit_id.removeprefix(PREFIX)[:MARK_DIGITS], 16)


def find_marked(session: Session, project_id: str, number: int) -> str | None:
    """The id of the project's edit with this number. None: the project has no such edit, or several."""
    first = f"{PREFIX}{number:0{MARK_DIGITS}x}"
    last = first + "f" * (ID_DIGITS - MARK_DIGITS)
    found = session.scalars(select(Edit.id).where(Edit.project_id == project_id, Edit.id.between(first, last)).limit(2))
    ids = found.all()
    return ids[0] if len(ids) == 1 else None
