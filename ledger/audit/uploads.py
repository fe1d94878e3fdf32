"""Invariant 8 for uploads: a sent file, with all that its image leaves out, is not kept beyond its time."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.uploads import SETTLED, Upload


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Uploads that nobody forgets."""
    late = Upload.expires_at < now(session) - SETTLED - bounds.patience
    for upload in session.scalars(select(Upload).where(late)):
        ended = f"{upload.expires_at:{MOMENT}}"
        yield Violation(8, f"upload {upload.id}", f"has a URL that ended at {ended}, and nobody deletes its file")
