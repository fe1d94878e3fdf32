"""The engine, the base of all rows, and the one place that commits."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from select import POLLIN, poll
from typing import Any
from uuid import uuid4

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import Connection
from sqlalchemy import Engine, MetaData, create_engine, event, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import DateTime

from ledger.settings import Settings

UnitOfWork = Callable[[], AbstractContextManager[Session]]
Autocommit = Callable[[], AbstractContextManager[Connection]]
CONSTRAINT_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError)
"""What is raised when the database does not answer (in time): trying again may help."""
MIGRATION_LOCK = 0x11BE  # any constant: two programs that migrate at once take turns


class Row(DeclarativeBase):
    """The base of every table. Times are stored with their zone."""

    metadata = MetaData(naming_convention=CONSTRAINT_NAMES)
    type_annotation_map = {  # noqa: RUF012
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        dict[str, str]: JSONB,
        list[str]: JSONB,
    }


def new_id(prefix: str) -> str:
    """A public identifier such as `job_9f1c...`: nobody can guess it, and one sees what it names."""
    return f"{prefix}_{uuid4().hex}"


def now(session: Session) -> datetime:
    """This moment by the database's clock: the only one that all programs share."""
    moment: datetime = session.scalars(select(func.clock_timestamp())).one()
    return moment


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine for one process: make it after the fork, connections do not survive one."""
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"connect_timeout": 5, "options": "-c lock_timeout=10000 -c statement_timeout=30000"},
    )
    event.listen(engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Connection, entry: ConnectionPoolEntry, borrower: object) -> None:
    """Before each use: a server that went away has closed the connection. The socket tells; asking costs a round trip.

    An idle connection has nothing to read but its end. The pool makes a new one in the place of one that is refused;
    the new one is not judged, or a server that goes away at that moment would count as the program's fault.
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


def unit_of_work(engine: Engine) -> UnitOfWork:
    """`with begin() as session:` is one transaction: committed at the end, rolled back on any exception."""
    # Foreign keys name tables: a program that uses only some of the modules needs all of them in the metadata.
    import_module("ledger.tables")

    @contextmanager
    def begin() -> Iterator[Session]:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    return begin


def autocommit(engine: Engine) -> Autocommit:
    """`with look() as connection:` commits each statement by itself: one round trip where a transaction takes three."""

    @contextmanager
    def look() -> Iterator[Connection]:
        pooled = engine.raw_connection()
        try:
            connection = pooled.driver_connection
            assert isinstance(connection, Connection)  # noqa: S101
            connection.autocommit = True
            yield connection
            connection.autocommit = False
        except BaseException:
            pooled.invalidate()
            raise
        finally:
            pooled.close()

    return look


def is_ready(engine: Engine) -> bool:
    """Whether the database answers."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except UNAVAILABLE:
        return False
    return True


def migrate(settings: Settings | None = None) -> None:
    """Bring the database to the newest schema. Safe to run from several programs at once."""
    engine = make_engine((settings or Settings()).database_url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            command.upgrade(migration_config(connection), "head")
            connection.commit()
    finally:
        engine.dispose()


def migration_config(connection: object) -> Config:
    """Alembic's settings over an open connection, wherever the migrations are installed."""
    package = find_spec("migrations")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("the package `migrations` is not installed")
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(package.submodule_search_locations)))))
    config.attributes["connection"] = connection
    return config
