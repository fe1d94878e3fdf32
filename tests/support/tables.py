"""Empty the tables."""

from sqlalchemy import Engine, text

from ledger.models import METADATA

EMPTY_DECISIONS = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM decisions) THEN
        ALTER TABLE decisions DISABLE TRIGGER USER;
        DELETE FROM decisions;
        ALTER TABLE decisions ENABLE TRIGGER USER;
    END IF;
END $$
"""
"""The table is append-only. Altering it costs time, so an empty one is left as it is."""


def empty(engine: Engine) -> None:
    """Delete all rows, referring ones first. TRUNCATE would make new files, which is slower for such small tables."""
    with engine.begin() as connection:
        connection.execute(text(EMPTY_DECISIONS))
        connection.execute(text(";".join(f"DELETE FROM {table.name}" for table in reversed(METADATA.sorted_tables))))
