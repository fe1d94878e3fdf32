"""The migrations make the schema that the models describe."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from ledger.database import migrate, migration_config
from ledger.models import METADATA
from ledger.settings import Settings


def test_the_migrated_schema_is_the_metadata(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_metadata_indexes_have_no_list_of_pending_entries(engine: Engine) -> None:
    """`compare_metadata` ignores the options of an index."""
    indexes = [index for table in METADATA.tables.values() for index in table.indexes]
    by_metadata = [index for index in indexes if index.dialect_options["postgresql"]["using"] == "gin"]
    assert all(index.dialect_options["postgresql"]["with"] == {"fastupdate": "off"} for index in by_metadata)
    with engine.connect() as connection:
        options = text("SELECT relname FROM pg_class WHERE 'fastupdate=off' = ANY (reloptions)")
        assert set(connection.scalars(options)) == {index.name for index in by_metadata} != set()


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
