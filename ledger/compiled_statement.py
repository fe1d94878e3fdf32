"""Statements that every request sends: compiled once, then passed to the driver directly.

SQLAlchemy's own execution takes several times as long as driver and server together. `POST /v1/edits` must reach 0.6 of
a bare endpoint's rate (`make bench-service`); without compiled statements it loses about an eighth of its rate.
"""

import json
from functools import cached_property
from typing import Any

from psycopg import Connection
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.orm import Session

SessionOrConnection = Session | Connection
"""A session (its transaction), or a connection of `database.autocommit`."""

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class CompiledStatement:
    """One statement. A call gives the values of its `bindparam`s and returns the rows as plain tuples."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement

    def __call__(self, on: SessionOrConnection, /, **values: Any) -> list[tuple[Any, ...]]:
        """Execute the statement. Flush the session first. Raises the driver's exceptions."""
        text, constants, json_names = self._compiled
        for name in json_names & values.keys():
            values[name] = json.dumps(values[name])
        connection = on if isinstance(on, Connection) else on.connection().connection.driver_connection
        cursor = connection.execute(text, constants | values)  # type: ignore[union-attr]
        # `cursor.description` would build a description of each column at each call.
        return cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else []

    @cached_property
    def _compiled(self) -> tuple[str, dict[str, Any], frozenset[str]]:
        """The SQL text, the constants in it, and the names of the JSON parameters."""
        compiled = self._statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
        json_names = {name for name, bound in compiled.binds.items() if isinstance(bound.type, JSONB)}
        constants = {
            name: json.dumps(value) if name in json_names else value for name, value in compiled.params.items()
        }
        return str(compiled), constants, frozenset(json_names)
