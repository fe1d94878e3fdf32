"""The migrated schema is the one that the code describes."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from ledger.database import Row, migrate, migration_config
from ledger.settings import Settings
from ledger.tables import METADATA

ROOT = Path(__file__).resolve().parents[2]


def test_the_migrated_schema_is_the_metadata(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_what_is_described_is_found_without_a_list_of_pending_entries(engine: Engine) -> None:
    """The comparison above does not look at an index's options."""
    indexes = [index for table in METADATA.tables.values() for index in table.indexes]
    described = [index for index in indexes if index.dialect_options["postgresql"]["using"] == "gin"]
    assert all(index.dialect_options["postgresql"]["with"] == {"fastupdate": "off"} for index in described)
    with engine.connect() as connection:
        options = text("SELECT relname FROM pg_class WHERE 'fastupdate=off' = ANY (reloptions)")
        assert set(connection.scalars(options)) == {index.name for index in described} != set()


def test_every_revision_can_be_undone_and_done_again(engine: Engine) -> None:
    with engine.begin() as connection:
        config = migration_config(connection)
        revisions = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
        for _ in revisions:
            command.downgrade(config, "-1")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        for revision in reversed(revisions):
            command.upgrade(config, revision)
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_migrating_again_changes_nothing(settings: Settings, engine: Engine) -> None:
    migrate(settings)


def test_every_module_with_rows_is_among_the_tables() -> None:
    modules = {file.stem for file in (ROOT / "ledger").glob("*.py") if "__tablename__" in file.read_text()}
    assert modules == {mapper.class_.__module__.removeprefix("ledger.") for mapper in Row.registry.mappers}
