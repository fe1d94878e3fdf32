"""Subjects: who or what is to be learnt, with its reference pictures."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from ledger.categories import Category, category_of
from ledger.columns import Id, ListedProjectId, Moment
from ledger.database import Row, new_id
from ledger.images import Image
from ledger.pages import NEWEST, Page, Window, newest


class Reference(Row):
    """One reference picture of a subject, with the user's caption if there is one."""

    __tablename__ = "subject_references"

    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"), index=True)
    caption: Mapped[str | None]
    image: Mapped[Image] = relationship(lazy="joined")


class Subject(Row):
    """`token` is the rare word that will mean this subject, `class_noun` what it is an instance of."""

    __tablename__ = "subjects"
    __table_args__ = (
        Index("ix_subjects_project_id_created_at", "project_id", "created_at", "id"),
        Index("ix_subjects_metadata", "metadata", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    name: Mapped[str]
    class_noun: Mapped[str]
    token: Mapped[str]
    category: Mapped[str]  # animal, object or person
    consent: Mapped[bool]
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata")
    created_at: Mapped[Moment]
    references: Mapped[list[Reference]] = relationship(order_by=Reference.position, lazy="selectin")


def create(
    session: Session,
    project_id: str,
    *,
    name: str,
    class_noun: str,
    token: str,
    images: Sequence[Image],
    captions: Sequence[str | None] | None = None,
    category: Category | None = None,
    consent: bool = False,
    metadata: dict[str, str] | None = None,
) -> Subject:
    """A subject over pictures of the same project; `captions` has one entry for each of them.

    The category is derived from the class noun unless it is given.
    """
    if any(image.project_id != project_id for image in images):
        raise ValueError("a reference belongs to another project")
    subject = Subject(
        id=new_id("sub"),
        project_id=project_id,
        name=name,
        class_noun=class_noun,
        token=token,
        category=category or category_of(class_noun),
        consent=consent,
        user_metadata=metadata or {},
        references=[
            Reference(position=position, image=image, caption=caption)
            for position, (image, caption) in enumerate(zip(images, captions or [None] * len(images), strict=True))
        ],
    )
    session.add(subject)
    session.flush()
    return subject


def get(session: Session, project_id: str, subject_id: str) -> Subject | None:
    """The project's subject, if there is one."""
    mine = (Subject.project_id == project_id, Subject.id == subject_id)
    return session.scalars(select(Subject).where(*mine)).first()


def listing(
    session: Session, project_id: str, window: Window = NEWEST, *, metadata: Mapping[str, str] | None = None
) -> Page[Subject]:
    """The project's subjects, newest first; with `metadata`, those that have all of its pairs."""
    query = select(Subject).where(Subject.project_id == project_id)
    if metadata:
        query = query.where(Subject.user_metadata.contains(metadata))
    return newest(session, query, Subject, window)
