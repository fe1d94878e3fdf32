"""Invariant 8: after a subject is erased no row and no object derived from it remains, except the erasure record."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.edits import Edit
from ledger.erasures import Erasure
from ledger.idempotency import Request
from ledger.jobs import Job
from ledger.priors import Prior
from ledger.storage import Storage
from ledger.subjects import Subject


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Rows that name an erased subject, and erasures that nobody finishes."""
    for table, subject_id in ((Subject, Subject.id), *((table, table.subject_id) for table in (Prior, Edit, Job))):
        for row_id, erased in session.execute(
            select(table.id, Erasure.subject_id).where(subject_id == Erasure.subject_id)
        ):
            yield Violation(8, f"subject {erased}", f"was erased, but {table.__tablename__} still has {row_id}")
    answered = cast(Request.body, Text).contains(Erasure.subject_id)
    kept = select(Erasure.subject_id, Request.key).where(Request.project_id == Erasure.project_id, answered)
    for erased, key in session.execute(kept):
        yield Violation(8, f"subject {erased}", f"was erased, but the answer to the idempotency key {key} names it")

    late = Erasure.created_at < now(session) - bounds.patience
    for erasure in session.scalars(select(Erasure).where(Erasure.finished_at.is_(None), late)):
        begun = f"{erasure.created_at:{MOMENT}}"
        yield Violation(8, f"subject {erasure.subject_id}", f"was erased at {begun}, and nobody deletes its objects")


def prefixes(session: Session) -> list[tuple[str, str]]:
    """Where nothing may lie any more: subject id and prefix, of the erasures that are finished."""
    finished = session.scalars(select(Erasure).where(Erasure.finished_at.is_not(None)))
    return [(erasure.subject_id, prefix) for erasure in finished for prefix in erasure.prefixes]


def left_objects(storage: Storage, prefixes: Iterable[tuple[str, str]]) -> Iterator[Violation]:
    """Objects that an erasure left. Raises StorageError where the storage is away."""
    for subject_id, prefix in prefixes:
        for key in storage.keys(prefix):
            yield Violation(8, f"subject {subject_id}", f"was erased, but the object {key} is still there")
