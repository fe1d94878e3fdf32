"""The engine and transactions. Only `unit_of_work` and `autocommit` commit."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from select import POLLIN, poll
from typing import TypeVar

import psycopg
from psycopg import Connection
from psycopg.errors import DeadlockDetected, ForeignKeyViolation
from sqlalchemy import Engine, ExceptionContext, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from ledger import outcomes
from ledger.outcomes import Observer

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
        __module__ = QueuePool.__module__  # the pool logs under this name, as SQLAlchemy's other modules do

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
