"""Uploaded images. The API has normalised them before it records them."""

from sqlalchemy import delete as delete_from
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.models import Image
from ledger.pages import NEWEST, Page, Window, newest
from ledger.storage import StoredObject


class InUse(Exception):
    """A subject or an edit uses the image; delete that first."""


def add(
    session: Session,
    project_id: str,
    image_id: str,
    stored: StoredObject,
    *,
    width: int,
    height: int,
    content_type: str = "image/png",
    upload_id: str | None = None,
) -> Image:
    """Record an image whose object is stored. The caller makes the id by `new_id("img")`: the key contains it."""
    image = Image(
        id=image_id,
        project_id=project_id,
        key=stored.key,
        size=stored.size,
        sha256=stored.sha256,
        content_type=content_type,
        width=width,
        height=height,
        upload_id=upload_id,
    )
    session.add(image)
    session.flush()
    return image


def get(session: Session, project_id: str, image_id: str) -> Image | None:
    """The project's image, or None."""
    return session.scalars(select(Image).where(Image.project_id == project_id, Image.id == image_id)).first()


def get_many(session: Session, project_id: str, image_ids: list[str]) -> list[Image]:
    """The project's images with these ids, in the given order. Ids that the project does not have are left out."""
    query = select(Image).where(Image.project_id == project_id, Image.id.in_(image_ids))
    found = {image.id: image for image in session.scalars(query)}
    return [found[image_id] for image_id in image_ids if image_id in found]


def listing(session: Session, project_id: str, window: Window = NEWEST) -> Page[Image]:
    """The project's images, newest first."""
    return newest(session, select(Image).where(Image.project_id == project_id), Image, window)


def delete(session: Session, project_id: str, image_id: str) -> Image | None:
    """Delete the row; the caller deletes its object after the commit. None: not there. Raises InUse."""
    image = get(session, project_id, image_id)
    if image is None:
        return None
    try:
        with session.begin_nested():  # foreign keys decide: a query could miss a concurrent insertion
            session.execute(delete_from(Image).where(Image.id == image_id))
    except IntegrityError as error:
        raise InUse(f"{image_id} belongs to a subject or an edit") from error
    return image
