"""Migrations: bring a database to the newest schema, beside programs that use it."""

import logging
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from ledger.database import make_engine
from ledger.settings import Settings

TIMEOUTS = {"lock_timeout": "10s", "statement_timeout": "30s"}
"""Of every session of the database. `migrate` sets them there, because a pooler refuses them in a connection."""
MIGRATION_LOCK = 0x11BE  # an arbitrary constant: it serializes programs that migrate at the same time
MIGRATION_LOCK_SECONDS = 0.5
"""Between two looks whether another program still migrates."""
MIGRATION_LOCK_TIMEOUT = "2s"
"""A migration waits for a lock on a table for so long, and all other programs with it."""
MIGRATION_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds between the tries of a migration that gets no lock."""

log = logging.getLogger(__name__)


def migrate(settings: Settings | None = None) -> None:
    """Upgrade the database to the newest schema. Several programs may do so at the same time.

    Each revision is one transaction, except for indexes that are built beside other programs (`migrations.indexes`).
    Raises OperationalError if a long transaction of another program holds a table again and again.
    """
    engine = make_engine((settings or Settings()).database_url, pool_size=2)
    try:
        with engine.begin() as guard, engine.connect() as connection:
            _limit(guard, lock_timeout="0")
            # The build of an index waits for the snapshot of a statement that waits, or that has parameters.
            while not guard.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({MIGRATION_LOCK})").scalar_one():
                time.sleep(MIGRATION_LOCK_SECONDS)
            event.listen(connection, "begin", partial(_limit, lock_timeout=MIGRATION_LOCK_TIMEOUT))
            _upgrade(connection)
            _set_timeouts(connection)
            connection.commit()
    finally:
        engine.dispose()


def _limit(connection: SqlConnection, *, lock_timeout: str) -> None:
    """Set the timeouts of the transaction: a large table takes longer than any other statement may."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{lock_timeout}'; SET LOCAL statement_timeout = 0")


def _upgrade(connection: SqlConnection) -> None:
    """Upgrade, and try again if a table is in use: a statement that waits for a lock makes all later ones wait."""
    for pause in (*MIGRATION_PAUSES, None):
        try:
            command.upgrade(migration_config(connection), "head")
            return
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable) or pause is None:
                raise
            connection.rollback()
            log.warning("another program uses a table that the migration must change: next try in %g s", pause)
            time.sleep(pause)


def _set_timeouts(connection: SqlConnection) -> None:
    """Give the database the timeouts, except for those that its operator has set."""
    name = connection.execute(text("SELECT quote_ident(current_database())")).scalar_one()
    known = text(
        "SELECT split_part(unnest(setconfig), '=', 1) FROM pg_db_role_setting JOIN pg_database "
        "ON pg_database.oid = setdatabase WHERE datname = current_database() AND setrole = 0"
    )
    missing = TIMEOUTS.keys() - set(connection.scalars(known))
    try:
        with connection.begin_nested():
            for timeout in sorted(missing):
                connection.execute(text(f"ALTER DATABASE {name} SET {timeout} = '{TIMEOUTS[timeout]}'"))
    except ProgrammingError as error:
        log.warning("the database has no %s, ask its owner to set them: %s", " or ".join(sorted(missing)), error.orig)


def schema_revisions(engine: Engine) -> tuple[str | None, str]:
    """The revision of the database's schema (None: it has no tables), and the newest one of this version.

    Later revisions sort after earlier ones.
    """
    with engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
        newest = ScriptDirectory.from_config(migration_config(connection)).get_current_head()
    return present, newest or ""


def migration_config(connection: object) -> Config:
    """Alembic's configuration for an open connection. It finds the installed package `migrations`."""
    package = find_spec("migrations")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("the package `migrations` is not installed")
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(package.submodule_search_locations)))))
    config.attributes["connection"] = connection
    return config
