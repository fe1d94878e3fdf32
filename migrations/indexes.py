"""Indexes of tables that have rows already: built while other programs read and write the table.

A test refuses a migration that builds one in another way. An index of a table that the same migration creates needs
none of this.
"""

from collections.abc import Sequence
from typing import Any

from alembic import op


def create_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Build an index without a lock that stops writers. An unfinished one of an interrupted migration is replaced.

    `options` are those of `op.create_index`. It commits what the migration has done so far, so each such migration must
    be able to run again: let it build its indexes first.
    """
    with op.get_context().autocommit_block():
        # The build waits for older transactions, but no program waits for the build.
        op.execute("SET lock_timeout = 0")
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(name, table, list(columns), postgresql_concurrently=True, **options)
        op.execute("RESET lock_timeout")


def drop_index(name: str, table: str) -> None:
    """Drop an index without a lock that stops readers and writers."""
    with op.get_context().autocommit_block():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
