"""Edits: what was asked of which picture. The results are the job's artefacts, the parameters the job's."""

from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.columns import Id, ListedProjectId, Moment
from ledger.database import Row, new_id


class Edit(Row):
    """`mask_image_id` is the user's own mask (white may change), if there is one."""

    __tablename__ = "edits"
    __table_args__ = (Index("ix_edits_project_id_created_at", "project_id", "created_at", "id"),)

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True)
    prior_id: Mapped[str | None] = mapped_column(ForeignKey("priors.id", ondelete="CASCADE"), index=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"), index=True)
    mask_image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id"), index=True)
    method: Mapped[str]
    source_prompt: Mapped[str | None]
    target_prompts: Mapped[list[str]]
    created_at: Mapped[Moment]


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
) -> Edit:
    """An edit, still to be written. The caller has looked up every id in the same project."""
    return Edit(
        id=new_id("edt"),
        project_id=project_id,
        subject_id=subject_id,
        prior_id=prior_id,
        image_id=image_id,
        mask_image_id=mask_image_id,
        method=method,
        source_prompt=source_prompt,
        target_prompts=target_prompts,
    )


def get(session: Session, project_id: str, edit_id: str) -> Edit | None:
    """The project's edit, if there is one."""
    return session.scalars(select(Edit).where(Edit.project_id == project_id, Edit.id == edit_id)).first()
