"""Subjects: what a prior learns, with the reference images."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.categories import Category, category_of
from ledger.models import Image, Reference, Subject, new_id
from ledger.pages import NEWEST, Page, Window, newest

CLASS_NOUN_PATTERN = r"^\w[\w' -]{0,62}$"
TOKEN_PATTERN = r"^\w{2,32}$"  # noqa: S105 - the rare word of a subject


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
    """Create a subject from images of the same project; `captions` has one entry for each image.

    The category is derived from the class noun unless it is given. Raises ValueError for another project's image.
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
    """The project's subject, or None."""
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
