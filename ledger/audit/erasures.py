"""Invariant 8: after an erasure no row and no object of what was erased remains, except the erasure record."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Select, String, cast, func, literal, select, union_all
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.idempotency import REPORTED
from ledger.models import METADATA, Edit, Erasure, IdempotentRequest, Job
from ledger.states import TERMINAL
from ledger.storage import Storage

ERASABLE = frozenset({"subjects", "priors", "edits", "jobs", "images", "studies"})
"""The tables whose rows an erasure deletes."""


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Rows and answers that name something erased, jobs without their erased prior, and overdue erasures."""
    erased = select(
        Erasure.project_id, Erasure.finished_at, func.jsonb_array_elements_text(Erasure.erased).label("id")
    ).subquery()
    named = union_all(*_names()).subquery()
    left = select(erased.c.id, named.c.place, named.c.row_id).join(named, named.c.name == erased.c.id)
    for gone, place, row_id in session.execute(left):
        yield _left(gone, f"{place} still has {row_id}")
    same = (IdempotentRequest.project_id == erased.c.project_id, erased.c.id == REPORTED)
    for gone, key in session.execute(select(erased.c.id, IdempotentRequest.key).where(*same)):
        yield _left(gone, f"the answer to the idempotency key {key} reports it")
    text = cast(IdempotentRequest.body, String)
    other = erased.c.id != func.coalesce(REPORTED, "")
    names = (IdempotentRequest.project_id == erased.c.project_id, other, erased.c.finished_at.is_not(None))
    quoted = func.concat('%"', erased.c.id, '"%')
    for gone, key in session.execute(select(erased.c.id, IdempotentRequest.key).where(*names, text.like(quoted))):
        yield _left(gone, f"the answer to the idempotency key {key} names it")

    without = (Edit.prior_deleted_at.is_not(None), Job.state.not_in(TERMINAL))
    for job_id, state in session.execute(select(Job.id, Job.state).join(Edit, Edit.id == Job.edit_id).where(*without)):
        yield Violation(8, f"job {job_id}", f"is {state}, but the prior of its edit was erased")

    late = Erasure.created_at < now(session) - bounds.patience
    for erasure in session.scalars(select(Erasure).where(Erasure.finished_at.is_(None), late)):
        begun = f"{erasure.created_at:{MOMENT}}"
        yield Violation(8, _thing(erasure), f"was erased at {begun}, and its objects are not deleted yet")


def prefixes(session: Session) -> list[tuple[str, str]]:
    """Pairs of erased resource and prefix, of the finished erasures: no object may have such a prefix."""
    finished = session.scalars(select(Erasure).where(Erasure.finished_at.is_not(None)))
    return [(_thing(erasure), prefix) for erasure in finished for prefix in erasure.prefixes]


def left_objects(storage: Storage, prefixes: Iterable[tuple[str, str]]) -> Iterator[Violation]:
    """Objects that an erasure left. Raises StorageError if the storage is unavailable."""
    for thing, prefix in prefixes:
        for key in storage.keys(prefix):
            yield Violation(8, thing, f"was erased, but the object {key} still exists")


def _names() -> Iterator[Select[Any]]:
    """Table, row and name, for each primary key of an erasable table and each foreign key to one."""
    for table in METADATA.sorted_tables:
        keys = [key.parent for key in table.foreign_keys if key.column.table.name in ERASABLE]
        for column in [table.c.id, *keys] if table.name in ERASABLE else keys:
            row_id = cast(table.primary_key.columns.values()[0], String)
            yield select(literal(table.name).label("place"), row_id.label("row_id"), column.label("name"))


def _left(erased: str, fault: str) -> Violation:
    return Violation(8, f"erased {erased}", f"was erased, but {fault}")


def _thing(erasure: Erasure) -> str:
    """The first erased resource, which is the one that the request named, except for an image with its users."""
    return f"erased {erasure.erased[0]}" if erasure.erased else f"erasure {erasure.id}"
