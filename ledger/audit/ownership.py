"""Invariant 9: a project can never read, infer or affect another project's objects.

Every foreign key between two tables that have owners is looked at, so a new table is, too.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from sqlalchemy import Column, Table, select
from sqlalchemy.orm import Session

from ledger.artefacts import Artefact
from ledger.audit.violation import Bounds, Violation
from ledger.database import Row
from ledger.idempotency import Request
from ledger.images import Image
from ledger.jobs import Job
from ledger.priors import Prior
from ledger.storage import project_prefix
from ledger.subjects import Reference, Subject

OWNER = "project_id"


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Rows that name a row, or an object, of another project."""
    for table, column, other in _links():
        target = other.alias()
        foreign = (table.c[column.name] == target.c.id, table.c[OWNER] != target.c[OWNER])
        for row_id, named in session.execute(select(table.c.id, target.c.id).where(*foreign)):
            yield _reaching(f"{table.name} {row_id}", f"{other.name} {named}")

    shown = (Reference.subject_id == Subject.id, Reference.image_id == Image.id, Subject.project_id != Image.project_id)
    for subject_id, image_id in session.execute(select(Subject.id, Image.id).where(*shown)):
        yield _reaching(f"subjects {subject_id}", f"images {image_id}")

    answered = (Request.body["id"].astext == Job.id, Request.project_id != Job.project_id)
    for key, job_id in session.execute(select(Request.key, Job.id).where(*answered)):
        yield _reaching(f"idempotency key {key}", f"jobs {job_id}")

    keys: list[tuple[Any, Any]] = [(Image, Image.key), (Artefact, Artefact.key), (Prior, Prior.adapter_key)]
    for row, key in keys:
        for row_id, project_id, place in session.execute(select(row.id, row.project_id, key).where(key.is_not(None))):
            if not place.startswith(project_prefix(project_id)):
                yield _reaching(f"{row.__tablename__} {row_id}", f"the object {place}")


def _reaching(thing: str, other: str) -> Violation:
    return Violation(9, thing, f"names {other}, which belongs to another project")


def _links() -> Iterator[tuple[Table, Column[str], Table]]:
    """Table, column and the table that the column names, where rows of both belong to projects."""
    import_module("ledger.tables")  # or the metadata may lack some
    for table in Row.metadata.sorted_tables:
        for key in table.foreign_keys:
            if OWNER in table.c and OWNER in key.column.table.c:
                yield table, key.parent, key.column.table
