"""The tables, without a row."""

from sqlalchemy import Engine, text

from ledger.tables import METADATA


def empty(engine: Engine) -> None:
    """Delete all rows, those that point first. TRUNCATE makes new files: several times slower on tables so small."""
    with engine.begin() as connection:
        connection.execute(text(";".join(f"DELETE FROM {table.name}" for table in reversed(METADATA.sorted_tables))))
