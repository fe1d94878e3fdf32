"""Uploads: files that users send to the storage by a signed URL, and that become images or imported priors later.

Such a file is untrusted, and the service has not read it. It is deleted when it becomes an image or a prior. It is
deleted again some time after its URL has expired, because a URL accepts more than one PUT.
"""

from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ledger.database import UnitOfWork, now
from ledger.models import Upload, new_id
from ledger.storage import Storage, upload_prefix

SETTLED = timedelta(minutes=15)
"""So long after its URL has expired, no PUT to it is still in progress."""
SWEEP_SIZE = 100
LORA = "application/x-safetensors"
"""The content type of an upload that becomes a prior. All others become images."""


class AlreadyUsed(Exception):
    """The upload has already become an image or a prior."""


def create(session: Session, project_id: str, *, content_type: str, size: int, seconds: float) -> Upload:
    """Create an upload whose URL is valid for `seconds`."""
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


def find(session: Session, project_id: str, upload_id: str) -> Upload | None:
    """The upload, or None. Raises AlreadyUsed."""
    mine = (Upload.project_id == project_id, Upload.id == upload_id)
    return _unused(session.scalars(select(Upload).where(*mine)).first())


def use(session: Session, project_id: str, upload_id: str) -> Upload | None:
    """Mark the upload as used, in the transaction that uses it up. None: not there. Raises AlreadyUsed."""
    mine = (Upload.project_id == project_id, Upload.id == upload_id)
    upload = _unused(session.scalars(select(Upload).where(*mine).with_for_update()).first())
    if upload is not None:
        upload.used_at = now(session)
    return upload


def _unused(upload: Upload | None) -> Upload | None:
    if upload is not None and upload.used_at is not None:
        raise AlreadyUsed(upload.id)
    return upload


def count_pending(session: Session, project_id: str) -> int:
    """The number of the project's uploads that have not become images or priors."""
    pending = (Upload.project_id == project_id, Upload.used_at.is_(None))
    return session.scalar(select(func.count()).select_from(Upload).where(*pending)) or 0


def file_key(project_id: str, upload_id: str) -> str:
    """The key of the upload's file."""
    return f"{upload_prefix(project_id, upload_id)}file"


def sweep(begin: UnitOfWork, storage: Storage, *, settled: timedelta = SETTLED) -> int:
    """Delete up to SWEEP_SIZE uploads whose URL expired more than `settled` ago, with their files.

    Returns their number. Raises StorageError.
    """
    with begin() as session:
        old = select(Upload).where(Upload.expires_at < now(session) - settled)
        expired = session.scalars(old.order_by(Upload.expires_at).limit(SWEEP_SIZE)).all()
    for upload in expired:
        storage.delete(file_key(upload.project_id, upload.id))
    with begin() as session:
        session.execute(delete(Upload).where(Upload.id.in_([upload.id for upload in expired])))
    return len(expired)
