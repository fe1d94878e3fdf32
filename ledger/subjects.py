"""Subjects: what a prior learns, with the reference images."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.orm import Session

from ledger.categories import Category, category_of
from ledger.models import Consent, Image, Reference, Subject, new_id
from ledger.pages import NEWEST, Page, Window, newest

CLASS_NOUN_PATTERN = r"^\w[\w' -]{0,62}$"
MIN_REFERENCES, MAX_REFERENCES = 3, 20
"""A training needs three images to tell the subject from its surroundings. The paper's authors use 3 to 5."""
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
    not_a_person: bool = False,
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
        not_a_person=not_a_person,
        user_metadata=metadata or {},
        references=[
            Reference(position=position, image=image, caption=caption)
            for position, (image, caption) in enumerate(zip(images, captions or [None] * len(images), strict=True))
        ],
    )
    session.add(subject)
    session.flush()
    return subject


def own_faces(session: Session, subject_id: str) -> int:
    """The number of faces that an image of the subject alone may show.

    One for a person. For others, such as statues, the most that one of the references shows: the subject was created
    with a statement about them.
    """
    person = or_(Subject.category == "person", exists().where(Consent.subject_id == Subject.id))
    if session.scalars(select(Subject.id).where(Subject.id == subject_id, person)).first() is not None:
        return 1
    references = select(func.max(Image.faces)).join(Reference, Reference.image_id == Image.id)
    return session.scalars(references.where(Reference.subject_id == subject_id)).one() or 0


def change(
    subject: Subject,
    *,
    name: str | None = None,
    metadata: Mapping[str, str | None] | None = None,
    captions: Mapping[str, str | None] | None = None,
) -> None:
    """Change what is given. `metadata` is merged: None removes a key. `captions` are those of references, by image id.

    The caller has locked the subject and checked that it has these references.
    """
    if name is not None:
        subject.name = name
    merged = subject.user_metadata | dict(metadata or {})
    subject.user_metadata = {key: value for key, value in merged.items() if value is not None}
    for reference in subject.references:
        if captions and reference.image_id in captions:
            reference.caption = captions[reference.image_id]


def add_reference(session: Session, subject: Subject, image: Image, caption: str | None) -> None:
    """Add the last reference. The caller has locked the subject and the image."""
    position = max((reference.position for reference in subject.references), default=-1) + 1
    subject.references.append(Reference(position=position, image=image, caption=caption))
    session.flush()


def remove_reference(session: Session, subject: Subject, image_id: str) -> None:
    """Remove the image from the references; the image itself stays. The caller has locked the subject."""
    mine = (Reference.subject_id == subject.id, Reference.image_id == image_id)
    session.execute(delete(Reference).where(*mine))


def get(session: Session, project_id: str, subject_id: str) -> Subject | None:
    """The project's subject, or None."""
    mine = (Subject.project_id == project_id, Subject.id == subject_id)
    return session.scalars(select(Subject).where(*mine)).first()


def lock(session: Session, project_id: str, subject_id: str) -> Subject | None:
    """`get` for a transaction that changes the subject. New priors and edits of it do not wait."""
    mine = (Subject.project_id == project_id, Subject.id == subject_id)
    return session.scalars(select(Subject).where(*mine).with_for_update(key_share=True)).first()


def listing(
    session: Session, project_id: str, window: Window = NEWEST, *, metadata: Mapping[str, str] | None = None
) -> Page[Subject]:
    """The project's subjects, newest first; with `metadata`, those that have all of its pairs."""
    query = select(Subject).where(Subject.project_id == project_id)
    if metadata:
        query = query.where(Subject.user_metadata.contains(metadata))
    return newest(session, query, Subject, window)
