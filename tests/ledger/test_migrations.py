"""The migrations make the schema that the models describe."""

import ast
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, text
from sqlalchemy.exc import OperationalError

import migrations
from ledger import schema
from ledger.models import METADATA, Project
from ledger.roles import Program
from ledger.schema import migrate, migration_config
from ledger.settings import Settings
from migrations import indexes
from tests.conftest import grant_rights
from tests.support.pooler import IS_POOLED, without_pooler
from tests.support.waiting import eventually


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
    with engine.connect() as connection:
        config = migration_config(connection)
        revisions = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
        for _ in revisions:
            command.downgrade(config, "-1")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        connection.rollback()
        for revision in reversed(revisions):
            command.upgrade(config, revision)
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


@pytest.mark.usefixtures("tables_are_made_anew")
def test_existing_keys_keep_all_rights(settings: Settings, engine: Engine) -> None:
    with engine.begin() as connection:
        config = migration_config(connection)
        command.downgrade(config, "0010")
        connection.execute(text("INSERT INTO projects (id, name, webhook_secrets) VALUES ('prj_1', 'shop', '[]')"))
        row = "INSERT INTO keys (id, project_id, name, digest, scopes) VALUES (:id, 'prj_1', '', '', :scopes)"
        connection.execute(text(row), {"id": "all", "scopes": '["read", "write"]'})
        connection.execute(text(row), {"id": "few", "scopes": '["read"]'})
    migrate(settings)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id, scopes, expires_at FROM keys ORDER BY id")).all()
        assert [tuple(key) for key in found] == [("all", ["read", "write", "admin"], None), ("few", ["read"], None)]


def test_migrating_again_changes_nothing(settings: Settings, engine: Engine, project: Project) -> None:
    """No table, column, index or row: the transactions of the catalogue and of the rows stay the same."""
    before = written(engine)
    migrate(settings)
    assert written(engine) == before
    assert {name for name, _ in before} >= {"pg_class", "pg_attribute", "pg_index", "alembic_version", "projects"}


@pytest.mark.usefixtures("tables_are_made_anew")
@without_pooler
def test_a_migration_does_not_make_others_wait_behind_a_long_transaction(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives up its place in the queue of the table's lock, and tries again."""
    with engine.begin() as connection:
        command.downgrade(migration_config(connection), "0023")
    reads: list[int] = []
    with engine.connect() as long:
        long.execute(text("SELECT count(*) FROM jobs"))  # its lock stays until the end of the transaction

        def sleep(seconds: float) -> None:
            with engine.connect() as other:
                reads.append(other.execute(text("SELECT count(*) FROM jobs")).scalar_one())
            long.rollback()

        monkeypatch.setattr(schema, "MIGRATION_LOCK_TIMEOUT", "100ms")
        monkeypatch.setattr(time, "sleep", sleep)
        migrate(settings)
    assert set(reads) == {0}
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert connection.scalar(text("SHOW lock_timeout")) == "10s"


@pytest.mark.usefixtures("tables_are_made_anew")
def test_a_migration_that_never_gets_a_lock_fails(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        command.downgrade(migration_config(connection), "0023")
    monkeypatch.setattr(schema, "MIGRATION_LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(schema, "MIGRATION_PAUSES", (0.01,))
    with engine.connect() as long:
        long.execute(text("SELECT count(*) FROM jobs"))
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate(settings)
    migrate(settings)


def test_an_index_is_built_while_another_program_writes(settings: Settings, engine: Engine) -> None:
    """An invalid index of an interrupted migration is replaced."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE large AS SELECT n FROM generate_series(1, 1000) AS n"))
        connection.execute(text("CREATE INDEX ix_large ON large (n)"))
        connection.execute(text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_large'::regclass"))
    is_built = threading.Event()

    def build() -> None:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
            with Operations.context(context), context.begin_transaction():
                indexes.create_index("ix_large", "large", ["n"], postgresql_where=text("n > 7"))
        is_built.set()

    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    builder = threading.Thread(target=build)
    with engine.connect() as writer:
        writer.execute(text("INSERT INTO large VALUES (0)"))  # a transaction that the build waits for
        builder.start()
        waits = text(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INDEX CONCURRENTLY%'"
        )
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as other:
            eventually(lambda: bool(other.scalar(waits)))
            other.execute(text("INSERT INTO large VALUES (1)"))  # it does not wait for the build
        assert not is_built.is_set()
        writer.commit()
    builder.join()
    assert is_built.is_set()
    # A pooler would leave the settings of a session to another program.
    assert any("SET lock_timeout" in statement for statement in sent) != IS_POOLED
    with engine.begin() as connection:
        found = "SELECT indisvalid, pg_get_indexdef(indexrelid) FROM pg_index WHERE indexrelid = 'ix_large'::regclass"
        assert tuple(connection.execute(text(found)).one()) == (
            True,
            "CREATE INDEX ix_large ON public.large USING btree (n) WHERE (n > 7)",
        )
        connection.execute(text("DROP TABLE large"))


@without_pooler
def test_the_timeouts_of_a_statement_do_not_bound_the_build_of_an_index(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE large AS SELECT 1 AS n"))
    with engine.connect() as writer, engine.connect() as connection:
        writer.execute(text("INSERT INTO large VALUES (2)"))
        end = threading.Timer(1.0, writer.rollback)
        end.start()
        connection.execute(text("SET statement_timeout = '200ms'; SET lock_timeout = '200ms'"))
        connection.commit()
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        with Operations.context(context), context.begin_transaction():
            indexes.create_index("ix_large", "large", ["n"])
            assert [connection.scalar(text(f"SHOW {name}")) for name in schema.TIMEOUTS] == [*schema.TIMEOUTS.values()]
        end.join()
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE large"))


@pytest.mark.usefixtures("tables_are_made_anew")
def test_several_programs_migrate_at_once(settings: Settings, engine: Engine) -> None:
    """One builds the indexes, and the others wait without a snapshot that the build would wait for."""
    with engine.begin() as connection:
        command.downgrade(migration_config(connection), "0024")
    with ThreadPoolExecutor(3) as programs:
        list(programs.map(lambda _: migrate(settings), range(3)))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


FIRST_CHECKED = "0026"
"""Earlier migrations built indexes in their transaction."""
BLOCKING = {"create_index", "drop_index", "create_unique_constraint", "create_exclude_constraint"}


def test_new_migrations_block_no_table_to_build_an_index() -> None:
    folder = Path(str(migrations.__file__)).parent / "versions"
    for file in sorted(folder.glob("0*.py")):
        if file.name[:4] >= FIRST_CHECKED:
            assert blocking_calls(file.read_text()) == [], f"{file.name}: use migrations.indexes"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("op.create_index('ix', 'jobs', ['id'])", ["create_index"]),
        ("op.execute('CREATE UNIQUE INDEX ix ON jobs (id)')", ["execute"]),
        ("op.create_table('new')\nop.create_index('ix', 'new', ['id'])", []),
        ("indexes.create_index('ix', 'jobs', ['id'])", []),
    ],
)
def test_the_check_of_migrations_finds_a_blocking_index(source: str, found: list[str]) -> None:
    body = "\n".join(f"    {line}" for line in source.splitlines())
    assert blocking_calls(f"def upgrade():\n{body}") == found


def blocking_calls(source: str) -> list[str]:
    """The calls of `op` in `upgrade` that lock a table for as long as an index is built."""
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    (upgrade,) = (node for node in functions if node.name == "upgrade")
    calls = [
        (node.func.attr, [arg.value for arg in node.args if isinstance(arg, ast.Constant)])
        for node in ast.walk(upgrade)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "op"
    ]
    made = {names[0] for name, names in calls if name == "create_table"}
    blocking = [name for name, names in calls if name in BLOCKING and not made & set(names)]
    return blocking + [name for name, names in calls if name == "execute" and re.search(r"\bINDEX\b", str(names), re.I)]


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
