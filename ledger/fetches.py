"""Uploads whose file a worker fetches from a URL: the API asks for it, a worker of webhooks does it.

The API reads images of unknown origin, and only the worker of webhooks may call other servers. So neither of them does
both. The row of such an upload has a `source_url`; its `size` is 0 until the file is stored.
"""

from datetime import timedelta
from typing import Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ledger import outbox
from ledger.database import now
from ledger.models import Upload, new_id

TASK = "lipe.fetch"
CONTENT_TYPE = "application/octet-stream"
Failure = Literal["image_url_forbidden", "image_url_unreachable", "image_too_large"]
"""Why there is no file: the codes of the API's problems."""


def request(session: Session, project_id: str, url: str, *, seconds: float) -> Upload:
    """Create an upload for the file at `url`, which a worker may fetch within `seconds`. The caller notifies one."""
    upload = Upload(
        id=new_id("upl"),
        project_id=project_id,
        content_type=CONTENT_TYPE,
        size=0,
        source_url=url,
        expires_at=now(session) + timedelta(seconds=seconds),
    )
    session.add(upload)
    outbox.add(session, TASK, upload.id)
    session.flush()
    return upload


def get(session: Session, upload_id: str) -> Upload | None:
    """The upload, or None."""
    return session.get(Upload, upload_id)


def wanted(session: Session, upload_id: str) -> Upload | None:
    """The upload if its file is still to be fetched; otherwise None."""
    open_ = (Upload.size == 0, Upload.failure.is_(None), Upload.expires_at > now(session))
    query = select(Upload).where(Upload.id == upload_id, Upload.source_url.is_not(None), *open_)
    return session.scalars(query).first()


def record_file(session: Session, upload_id: str, size: int) -> None:
    """Record that the file is stored. `size` in bytes is above 0."""
    session.execute(update(Upload).where(Upload.id == upload_id).values(size=size))


def record_failure(session: Session, upload_id: str, failure: Failure, detail: str) -> None:
    """Record that there is no file, and why."""
    session.execute(update(Upload).where(Upload.id == upload_id).values(failure=failure, failure_detail=detail))


def forget(session: Session, upload_id: str) -> None:
    """Delete the row. A file that arrives later is an orphan, which the dispatcher deletes."""
    session.execute(delete(Upload).where(Upload.id == upload_id))
