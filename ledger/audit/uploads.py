"""Invariant 8 for uploads: the uploaded file, which may contain more than its image, is deleted in time."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.models import Upload
from ledger.uploads import SETTLED


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Overdue uploads."""
    late = Upload.expires_at < now(session) - SETTLED - bounds.patience
    for upload in session.scalars(select(Upload).where(late)):
        ended = f"{upload.expires_at:{MOMENT}}"
        yield Violation(8, f"upload {upload.id}", f"has a URL that expired at {ended}, and its file is not deleted yet")
