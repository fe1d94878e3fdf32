"""Uploaded pictures, normalised before they came here."""

from sqlalchemy import Index, select
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session

from ledger.columns import Id, ListedProjectId, Moment
from ledger.database import Row
from ledger.pages import NEWEST, Page, Window, newest
from ledger.storage import StoredObject


class Image(Row):
    """One picture: `width` and `height` in pixels, the object's key, size in bytes and hash.

    `upload_id` names the upload that it came by, for as long as that is remembered.
    """

    __tablename__ = "images"
    __table_args__ = (Index("ix_images_project_id_created_at", "project_id", "created_at", "id"),)

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    key: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    content_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    upload_id: Mapped[str | None]
    created_at: Mapped[Moment]


class InUse(Exception):
    """The picture belongs to a subject or an edit; delete those first."""


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
    """Record a picture whose object is stored. The id is `database.new_id("img")`: the key contains it."""
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
    """The project's picture, if there is one."""
    return session.scalars(select(Image).where(Image.project_id == project_id, Image.id == image_id)).first()


def get_many(session: Session, project_id: str, image_ids: list[str]) -> list[Image]:
    """Those of the pictures that the project has, in the order asked for."""
    query = select(Image).where(Image.project_id == project_id, Image.id.in_(image_ids))
    found = {image.id: image for image in session.scalars(query)}
    return [found[image_id] for image_id in image_ids if image_id in found]


def listing(session: Session, project_id: str, window: Window = NEWEST) -> Page[Image]:
    """The project's pictures, newest first."""
    return newest(session, select(Image).where(Image.project_id == project_id), Image, window)


def delete(session: Session, project_id: str, image_id: str) -> Image | None:
    """Remove the row; the caller deletes its object after the commit. Raises InUse. None: not there."""
    image = get(session, project_id, image_id)
    if image is None:
        return None
    try:
        with session.begin_nested():  # the foreign keys know better than a query that another may outrun
            session.execute(delete_from(Image).where(Image.id == image_id))
    except IntegrityError as error:
        raise InUse(f"{image_id} belongs to a subject or an edit") from error
    return image
