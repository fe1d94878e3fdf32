"""Invariant 8: after a subject is erased no row and no object derived from it remains, except the erasure record."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.models import Edit, Erasure, IdempotentRequest, Job, Prior, Subject
from ledger.storage import Storage


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Rows that name an erased subject, and overdue erasures."""
    for table, subject_id in ((Subject, Subject.id), *((table, table.subject_id) for table in (Prior, Edit, Job))):
        for row_id, erased in session.execute(
            select(table.id, Erasure.subject_id).where(subject_id == Erasure.subject_id)
        ):
            yield Violation(8, f"subject {erased}", f"was erased, but {table.__tablename__} still has {row_id}")
    answered = cast(IdempotentRequest.body, Text).contains(Erasure.subject_id)
    kept = select(Erasure.subject_id, IdempotentRequest.key).where(
        IdempotentRequest.project_id == Erasure.project_id, answered
    )
    for erased, key in session.execute(kept):
        yield Violation(8, f"subject {erased}", f"was erased, but the answer to the idempotency key {key} names it")

    late = Erasure.created_at < now(session) - bounds.patience
    for erasure in session.scalars(select(Erasure).where(Erasure.finished_at.is_(None), late)):
        begun = f"{erasure.created_at:{MOMENT}}"
        yield Violation(
            8, f"subject {erasure.subject_id}", f"was erased at {begun}, and its objects are not deleted yet"
        )


def prefixes(session: Session) -> list[tuple[str, str]]:
    """Pairs of subject id and prefix, of the finished erasures: no object may have such a prefix."""
    finished = session.scalars(select(Erasure).where(Erasure.finished_at.is_not(None)))
    return [(erasure.subject_id, prefix) for erasure in finished for prefix in erasure.prefixes]


def left_objects(storage: Storage, prefixes: Iterable[tuple[str, str]]) -> Iterator[Violation]:
    """Objects that an erasure left. Raises StorageError if the storage is unavailable."""
    for subject_id, prefix in prefixes:
        for key in storage.keys(prefix):
            yield Violation(8, f"subject {subject_id}", f"was erased, but the object {key} still exists")
