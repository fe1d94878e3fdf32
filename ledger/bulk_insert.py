"""New rows of several tables by one statement: one round trip to the database, not one for each.

They may point at each other: Postgres checks foreign keys at the end of a statement.
"""

from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import Table, bindparam, insert, inspect
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from ledger.compiled_statement import CompiledStatement
from ledger.database import Row

Kind = TypeVar("Kind", bound=Row)


def write(session: Session, row: Kind, *others: Row) -> Kind:
    """Insert new rows, at most one of each table; returns the first, with the values that the database chose."""
    session.flush()  # what the new rows point at
    rows: list[Row] = [row, *others]
    given = {type(new): _given(new) for new in rows}
    statement, chosen = _insertion(tuple((kind, tuple(columns)) for kind, columns in given.items()))
    parameters = {_name(kind, column): value for kind, columns in given.items() for column, value in columns.items()}
    (values,) = statement(session, **parameters)
    known = dict(zip(chosen, values, strict=True))
    for name, column in _columns(type(row)):
        if column not in given[type(row)]:
            set_committed_value(row, name, known.get(name))
    make_transient_to_detached(row)
    session.add(row)
    return row


def _given(row: Row) -> dict[str, Any]:
    """The values that were set, by column."""
    state = inspect(row).dict
    return {column: state[name] for name, column in _columns(type(row)) if name in state}


@cache
def _columns(kind: type[Row]) -> tuple[tuple[str, str], ...]:
    return tuple((attribute.key, attribute.columns[0].name) for attribute in inspect(kind).column_attrs)


@cache
def _insertion(shapes: tuple[tuple[type[Row], tuple[str, ...]], ...]) -> tuple[CompiledStatement, tuple[str, ...]]:
    """The statement for rows of these columns, and the first row's attributes that it returns."""
    first, *others = (
        insert(cast(Table, kind.__table__)).values({column: bindparam(_name(kind, column)) for column in columns})
        for kind, columns in shapes
    )
    kind, columns = shapes[0]
    chosen = {name: column for name, column in _columns(kind) if column not in columns and column != "id"}
    chosen = {name: column for name, column in chosen.items() if kind.__table__.c[column].server_default is not None}
    returning = [kind.__table__.c[column] for column in chosen.values()]
    return CompiledStatement(first.returning(*returning).add_cte(*(other.cte() for other in others))), tuple(chosen)


@cache
def _name(kind: type[Row], column: str) -> str:
    return f"{cast(Table, kind.__table__).name}_{column}"
