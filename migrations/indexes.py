"""Indexes of tables that have rows already: built while other programs read and write the table.

A test refuses a migration that builds one in another way. An index of a table that the same migration creates needs
none of this.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alembic import op


def create_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Build an index without a lock that stops writers. An unfinished one of an interrupted migration is replaced.

    `options` are those of `op.create_index`. It commits what the migration has done so far, so each such migration must
    be able to run again: let it build its indexes first. Behind a pooler the database's own timeouts bound the build.
    """
    with op.get_context().autocommit_block(), _without_timeouts():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(name, table, list(columns), postgresql_concurrently=True, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index without a lock that stops readers and writers."""
    with op.get_context().autocommit_block():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


@contextmanager
def _without_timeouts() -> Iterator[None]:
    """A build waits for older transactions, and a large table takes long, but no program waits for the build.

    A pooler that lends its connections by transaction would leave these settings to another program.
    """
    if _is_pooled():
        yield
        return
    op.execute("SET lock_timeout = 0; SET statement_timeout = 0")
    yield
    op.execute("RESET lock_timeout; RESET statement_timeout")


def _is_pooled() -> bool:
    """Whether a pooler answers: it names another process than the one that runs the statements."""
    connection = op.get_bind()
    process = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
    return bool(process != connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
