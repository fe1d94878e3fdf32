"""Uploads: pictures that go straight into the storage, by a signed URL, and wait there to become images.

Such a file is hostile and unread. It goes when it becomes an image, and again some time after its URL has ended, since
a URL takes more than one PUT.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.columns import Id, Moment, ProjectId
from ledger.database import Row, UnitOfWork, new_id, now
from ledger.storage import Storage, upload_prefix

SETTLED = timedelta(minutes=15)
"""What was on its way when its URL ended has arrived, or failed, so long after."""
SWEPT_AT_ONCE = 100


class Upload(Row):
    """One announced file: `size` in bytes. Its URL ends at `expires_at`; it became an image at `used_at`."""

    __tablename__ = "uploads"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    content_type: Mapped[str]
    size: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    created_at: Mapped[Moment]


class Used(Exception):
    """The upload has become an image already."""


def create(session: Session, project_id: str, *, content_type: str, size: int, seconds: float) -> Upload:
    """Announce a file; its URL is good for so many seconds."""
    upload = Upload(
        id=new_id("upl"),
        project_id=project_id,
        content_type=content_type,
        size=size,
        expires_at=now(session) + timedelta(seconds=seconds),
    )
    session.add(upload)
    session.flush()
    return upload


def use(session: Session, project_id: str, upload_id: str) -> Upload | None:
    """Take the upload to make an image of it, in this transaction; None: not there. Raises Used."""
    mine = (Upload.project_id == project_id, Upload.id == upload_id)
    upload = session.scalars(select(Upload).where(*mine).with_for_update()).first()
    if upload is None:
        return None
    if upload.used_at is not None:
        raise Used(upload_id)
    upload.used_at = now(session)
    return upload


def count_pending(session: Session, project_id: str) -> int:
    """The project's uploads that have not become images, and whose files may still be there."""
    pending = (Upload.project_id == project_id, Upload.used_at.is_(None))
    return session.scalar(select(func.count()).select_from(Upload).where(*pending)) or 0


def file_key(project_id: str, upload_id: str) -> str:
    """Where the upload's file lies, if it is there."""
    return f"{upload_prefix(project_id, upload_id)}file"


def sweep(begin: UnitOfWork, storage: Storage, *, settled: timedelta = SETTLED) -> int:
    """Forget uploads whose URL ended so long ago, some at once, with their files; how many. Raises StorageError."""
    with begin() as session:
        over = Upload.expires_at < now(session) - settled
        doomed = session.scalars(select(Upload).where(over).order_by(Upload.expires_at).limit(SWEPT_AT_ONCE)).all()
    for upload in doomed:
        storage.delete(file_key(upload.project_id, upload.id))
    with begin() as session:
        session.execute(delete(Upload).where(Upload.id.in_([upload.id for upload in doomed])))
    return len(doomed)
