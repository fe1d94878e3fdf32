"""Uploaded images. The API has normalised them before it records them."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Image
from ledger.pages import NEWEST, Page, Window, newest
from ledger.storage import StoredObject


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
    faces: int | None = None,
    credentials: bytes | None = None,
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
        faces=faces,
        credentials=credentials,
    )
    session.add(image)
    session.flush()
    return image


def get(session: Session, project_id: str, image_id: str) -> Image | None:
    """The project's image, or None."""
    return session.scalars(select(Image).where(Image.project_id == project_id, Image.id == image_id)).first()


def credentials(session: Session, project_id: str, image_id: str) -> bytes | None:
    """The Content Credentials of the image's upload, as an ingredient archive. None: it had none."""
    query = select(Image.credentials).where(Image.project_id == project_id, Image.id == image_id)
    return session.scalars(query).first()


def get_many(session: Session, project_id: str, image_ids: list[str]) -> list[Image]:
    """The project's images with these ids, in the given order. Ids that the project does not have are left out.

    They cannot be deleted before the transaction ends.
    """
    query = select(Image).where(Image.project_id == project_id, Image.id.in_(image_ids))
    query = query.order_by(Image.id).with_for_update(read=True, key_share=True)
    found = {image.id: image for image in session.scalars(query)}
    return [found[image_id] for image_id in image_ids if image_id in found]


def listing(session: Session, project_id: str, window: Window = NEWEST) -> Page[Image]:
    """The project's images, newest first."""
    return newest(session, select(Image).where(Image.project_id == project_id), Image, window)
