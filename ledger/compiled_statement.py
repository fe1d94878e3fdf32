"""Statements of every request: built and compiled once, then handed to the driver as they are.

SQLAlchemy's own execution takes several times what the driver and the server take together. It is worth that where
statements vary; where each request sends the very same one, it is most of the request (`make bench-service`).
"""

import json
from functools import cached_property
from typing import Any

from psycopg import Connection
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.orm import Session

Where = Session | Connection
"""In a session's transaction, or on a connection of `database.looking`."""

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class CompiledStatement:
    """One statement; its `bindparam`s are what a call gives. Rows are plain tuples."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement

    def __call__(self, where: Where, /, **given: Any) -> list[tuple[Any, ...]]:
        """What a session has still to write must be flushed. Raises what the driver raises."""
        text, fixed, documents = self._compiled
        for name in documents & given.keys():
            given[name] = json.dumps(given[name])
        connection = where if isinstance(where, Connection) else where.connection().connection.driver_connection
        cursor = connection.execute(text, fixed | given)  # type: ignore[union-attr]
        # Not `cursor.description`, which describes each column anew.
        return cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else []

    @cached_property
    def _compiled(self) -> tuple[str, dict[str, Any], frozenset[str]]:
        """The text, the constants in it, and which parameters are JSON. At its first use: all tables are known then."""
        compiled = self._statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
        documents = {name for name, bound in compiled.binds.items() if isinstance(bound.type, JSONB)}
        constants = {name: json.dumps(value) if name in documents else value for name, value in compiled.params.items()}
        return str(compiled), constants, frozenset(documents)
