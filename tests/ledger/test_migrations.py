"""The migrated schema is the one that the code describes."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from ledger.database import Row, migrate
from ledger.settings import Settings
from ledger.tables import METADATA

ROOT = Path(__file__).resolve().parents[2]


def test_the_migrated_schema_is_the_metadata(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_migrating_again_changes_nothing(settings: Settings, engine: Engine) -> None:
    migrate(settings)


def test_every_module_with_rows_is_among_the_tables() -> None:
    modules = {file.stem for file in (ROOT / "ledger").glob("*.py") if "__tablename__" in file.read_text()}
    assert modules == {mapper.class_.__module__.removeprefix("ledger.") for mapper in Row.registry.mappers}
