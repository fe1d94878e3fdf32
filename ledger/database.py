"""The engine, transactions and migrations. Only `unit_of_work` and `autocommit` commit."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from select import POLLIN, poll
from typing import TypeVar

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import Connection
from psycopg.errors import DeadlockDetected, ForeignKeyViolation, LockNotAvailable
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine, ExceptionContext, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from ledger import outcomes
from ledger.outcomes import Observer
from ledger.settings import Settings

log = logging.getLogger(__name__)
Result = TypeVar("Result")
UnitOfWork = Callable[[], AbstractContextManager[Session]]
Autocommit = Callable[[], AbstractContextManager[Connection]]
UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError)
"""The exceptions of a database that does not answer (in time). A later attempt may succeed."""
CONFLICTS = (DeadlockDetected, ForeignKeyViolation)
CONFLICT_ATTEMPTS = 3
CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""A server that vanished without a word is noticed within half a minute."""
PREPARES = "prepared_statements"
TIMEOUTS = {"lock_timeout": "10s", "statement_timeout": "30s"}
"""Of every session of the database. `migrate` sets them there, because a pooler refuses them in a connection."""
MIGRATION_LOCK = 0x11BE  # an arbitrary constant: it serializes programs that migrate at the same time
MIGRATION_LOCK_TIMEOUT = "2s"
"""A migration waits for a lock on a table for so long, and all other programs with it."""
MIGRATION_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds between the tries of a migration that gets no lock."""


def now(session: Session) -> datetime:
    """The current time by the database's clock, the only one that all programs share."""
    moment: datetime = session.scalars(select(func.clock_timestamp())).one()
    return moment


def make_engine(url: str, *, pool_size: int = 10, on_wait: Callable[[float], None] = lambda _: None) -> Engine:
    """An engine for one process. Make it after the fork: connections do not survive one.

    The connections set nothing for their session, so that a pooler may lend them by transaction. One that cannot keep
    prepared statements needs `?prepared_statements=false` in the URL.
    `on_wait` gets the seconds of each wait for a connection of the pool.
    """
    address = make_url(url)
    prepares = address.query.get(PREPARES, "true") == "true"
    engine = create_engine(
        address.difference_update_query([PREPARES]),
        poolclass=_timed_pool(on_wait),
        pool_size=pool_size,
        max_overflow=pool_size,
        hide_parameters=True,
        connect_args={**CONNECTION, **({} if prepares else {"prepare_threshold": None})},
    )
    event.listen(engine, "checkout", _refuse_closed)
    event.listen(engine, "handle_error", _hide_values)
    return engine


def _timed_pool(on_wait: Callable[[float], None]) -> type[QueuePool]:
    class TimedPool(QueuePool):
        def connect(self) -> PoolProxiedConnection:
            start = time.perf_counter()
            try:
                return super().connect()
            finally:
                on_wait(time.perf_counter() - start)

    return TimedPool


def _hide_values(context: ExceptionContext) -> None:
    """Keep values of a row out of the error: it will be logged, and the log outlives an erasure."""
    original = context.original_exception
    if isinstance(original, psycopg.Error):
        _drop_details(original)
        if context.sqlalchemy_exception is not None:
            context.sqlalchemy_exception.args = (f"({type(original).__name__}) {original}",)


def _drop_details(error: psycopg.Error) -> None:
    """Reduce the server's message to its first line. The lines DETAIL and CONTEXT have values of the row."""
    if error.diag.message_primary is not None:
        error.args = (error.diag.message_primary,)


def _refuse_closed(connection: Connection, entry: ConnectionPoolEntry, borrower: object) -> None:
    """Refuse a pooled connection that the server has closed; the pool then opens a new one.

    An idle connection has nothing to read except its end, so polling the socket is enough. SQLAlchemy's `pre_ping`
    would cost a round trip. A new connection is not checked: its failure must surface as `UNAVAILABLE`.
    """
    if entry.info.setdefault("is_new", True):
        entry.info["is_new"] = False
        return
    if connection.closed:
        raise DisconnectionError
    socket = poll()
    socket.register(connection.fileno(), POLLIN)
    if socket.poll(0):
        raise DisconnectionError


def unit_of_work(engine: Engine, observe: Observer = lambda _: None) -> UnitOfWork:
    """`with begin() as session:` is one transaction: committed at the end, rolled back on any exception.

    `observe` gets what a committed transaction has done to jobs.
    """

    @contextmanager
    def begin() -> Iterator[Session]:
        with Session(engine, expire_on_commit=False) as session:
            with session.begin():
                yield session
            outcomes.hand_over(session, observe)

    return begin


def autocommit(engine: Engine) -> Autocommit:
    """`with connect() as connection:` commits each statement: one round trip, where a transaction takes three."""

    @contextmanager
    def connect() -> Iterator[Connection]:
        pooled = engine.raw_connection()
        try:
            connection = pooled.driver_connection
            assert isinstance(connection, Connection)  # noqa: S101
            connection.autocommit = True
            yield connection
            connection.autocommit = False
        except BaseException as error:
            pooled.invalidate()
            if isinstance(error, psycopg.Error):
                _drop_details(error)
            raise
        finally:
            pooled.close()

    return connect


def repeat_conflicts(transaction: Callable[[], Result]) -> Result:
    """Run a transaction, and run it again if another one deleted a row that it needs, or if the two blocked each other.

    It then looks the rows up again. A conflict in every one of CONFLICT_ATTEMPTS is raised.
    """
    for _ in range(CONFLICT_ATTEMPTS - 1):
        try:
            return transaction()
        except (DBAPIError, psycopg.Error) as error:
            if not isinstance(error.orig if isinstance(error, DBAPIError) else error, CONFLICTS):
                raise
    return transaction()


def is_ready(engine: Engine) -> bool:
    """Whether the database answers."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except UNAVAILABLE:
        return False
    return True


def migrate(settings: Settings | None = None) -> None:
    """Upgrade the database to the newest schema. Several programs may do so at the same time.

    Each revision is one transaction, except for indexes that are built beside other programs (`migrations.indexes`).
    Raises OperationalError if a long transaction of another program holds a table again and again.
    """
    engine = make_engine((settings or Settings()).database_url, pool_size=2)
    try:
        with engine.begin() as guard, engine.connect() as connection:
            _limit(guard, lock_timeout="0")
            guard.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
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
