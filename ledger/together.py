"""New rows of several tables by one statement: one round trip to the database, not one for each.

They may point at each other: Postgres checks foreign keys at the end of a statement.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Executable, Table, bindparam, insert, select
from sqlalchemy.orm import Session

from ledger.database import Row

Kind = TypeVar("Kind", bound=Row)
Values = Mapping[str, Any]
"""By the names of the columns; what is left out has the column's default."""


def write(session: Session, row: type[Kind], values: Values, also: Mapping[type[Row], Values] | None = None) -> Kind:
    """Insert one row, and at most one of each other table; the first as it is then."""
    session.flush()  # what the new rows point at
    rows = {row: values, **(also or {})}
    statement = _statement(tuple((kind, tuple(given)) for kind, given in rows.items()))
    parameters = {_name(kind, column): value for kind, given in rows.items() for column, value in given.items()}
    written: Kind = session.scalars(statement, parameters).one()
    return written


@cache
def _statement(shapes: tuple[tuple[type[Row], tuple[str, ...]], ...]) -> Executable:
    """Built once for all rows of these columns: building takes longer than sending."""
    insertions = []
    for kind, columns in shapes:
        table = kind.__table__
        assert isinstance(table, Table)  # noqa: S101  # it may not be, says SQLAlchemy's type
        insertions.append(insert(table).values({column: bindparam(_name(kind, column)) for column in columns}))
    first, *others = insertions
    kind = shapes[0][0]
    together = first.returning(*kind.__table__.columns).add_cte(*(other.cte() for other in others))
    return select(kind).from_statement(together)


def _name(kind: type[Row], column: str) -> str:
    return f"{kind.__tablename__}_{column}"
