"""The migrations make the schema that the models describe."""

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from ledger.database import migrate, migration_config
from ledger.models import METADATA, Project
from ledger.roles import Program
from ledger.settings import Settings
from tests.conftest import grant_rights


@pytest.fixture
def tables_are_made_anew(settings: Settings, program_urls: dict[Program, str]) -> Iterator[None]:
    """The rights on the tables are given again after the test."""
    yield
    grant_rights(settings, program_urls)


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


@pytest.mark.usefixtures("tables_are_made_anew")
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


@pytest.mark.usefixtures("tables_are_made_anew")
def test_existing_keys_keep_all_rights(engine: Engine) -> None:
    with engine.begin() as connection:
        config = migration_config(connection)
        command.downgrade(config, "0010")
        connection.execute(text("INSERT INTO projects (id, name, webhook_secrets) VALUES ('prj_1', 'shop', '[]')"))
        row = "INSERT INTO keys (id, project_id, name, digest, scopes) VALUES (:id, 'prj_1', '', '', :scopes)"
        connection.execute(text(row), {"id": "all", "scopes": '["read", "write"]'})
        connection.execute(text(row), {"id": "few", "scopes": '["read"]'})
        command.upgrade(config, "head")
        found = connection.execute(text("SELECT id, scopes, expires_at FROM keys ORDER BY id")).all()
        assert [tuple(key) for key in found] == [("all", ["read", "write", "admin"], None), ("few", ["read"], None)]


def test_migrating_again_changes_nothing(settings: Settings, engine: Engine, project: Project) -> None:
    """No table, column, index or row: the transactions of the catalogue and of the rows stay the same."""
    before = written(engine)
    migrate(settings)
    assert written(engine) == before
    assert {name for name, _ in before} >= {"pg_class", "pg_attribute", "pg_index", "alembic_version", "projects"}


def written(engine: Engine) -> list[tuple[str, str]]:
    """Each row of this schema's catalogue, of `alembic_version` and of `projects`, as the table and the transaction."""
    here = "current_schema()::regnamespace"
    of_class = f"(SELECT oid FROM pg_class WHERE relnamespace = {here} AND relkind IN ('r', 'i'))"
    tables = {
        "pg_class": f"pg_class WHERE oid IN {of_class} AND relkind = 'r'",
        "pg_attribute": f"pg_attribute WHERE attrelid IN {of_class}",
        "pg_index": f"pg_index WHERE indrelid IN {of_class}",
        "alembic_version": "alembic_version",
        "projects": "projects",
    }
    with engine.connect() as connection:
        return [
            (name, str(row))
            for name, source in tables.items()
            for row in connection.execute(text(f"SELECT ctid, xmin FROM {source} ORDER BY ctid"))
        ]
