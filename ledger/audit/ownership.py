"""Invariant 9: a project can never read, infer or affect another project's objects.

The check covers every foreign key between two tables with a `project_id`, so it covers new tables too.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Table, select
from sqlalchemy.orm import Session

from ledger.audit.violation import Bounds, Violation
from ledger.models import METADATA, Artefact, IdempotentRequest, Image, Job, Prior, Reference, Subject
from ledger.storage import project_prefix

OWNER = "project_id"


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Rows that refer to a row or an object of another project."""
    for table, column, other in _links():
        target = other.alias()
        foreign = (table.c[column.name] == target.c.id, table.c[OWNER] != target.c[OWNER])
        for row_id, named in session.execute(select(table.c.id, target.c.id).where(*foreign)):
            yield _foreign(f"{table.name} {row_id}", f"{other.name} {named}")

    shown = (Reference.subject_id == Subject.id, Reference.image_id == Image.id, Subject.project_id != Image.project_id)
    for subject_id, image_id in session.execute(select(Subject.id, Image.id).where(*shown)):
        yield _foreign(f"subjects {subject_id}", f"images {image_id}")

    answered = (IdempotentRequest.body["id"].astext == Job.id, IdempotentRequest.project_id != Job.project_id)
    for key, job_id in session.execute(select(IdempotentRequest.key, Job.id).where(*answered)):
        yield _foreign(f"idempotency key {key}", f"jobs {job_id}")

    keys: list[tuple[Any, Any]] = [(Image, Image.key), (Artefact, Artefact.key), (Prior, Prior.adapter_key)]
    for row, key in keys:
        for row_id, project_id, place in session.execute(select(row.id, row.project_id, key).where(key.is_not(None))):
            if not place.startswith(project_prefix(project_id)):
                yield _foreign(f"{row.__tablename__} {row_id}", f"the object {place}")


def _foreign(thing: str, other: str) -> Violation:
    return Violation(9, thing, f"refers to {other}, which belongs to another project")


def _links() -> Iterator[tuple[Table, Column[str], Table]]:
    """Table, column, and the table that the column refers to, if both tables have owners."""
    for table in METADATA.sorted_tables:
        for key in table.foreign_keys:
            if OWNER in table.c and OWNER in key.column.table.c:
                yield table, key.parent, key.column.table
