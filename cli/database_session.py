"""A transaction of a command that uses the database directly."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.orm import Session

from cli.server_errors import server_errors
from cli.settings_file import find_settings
from ledger.database import make_engine, unit_of_work
from ledger.settings import Settings


@contextmanager
def open_session(data: Path | None) -> Iterator[tuple[Session, Settings]]:
    """A transaction on the service's database, and its settings. Errors of the servers end the command."""
    with server_errors():
        settings = find_settings(data)
        engine = make_engine(settings.database_url)
        try:
            with unit_of_work(engine)() as session:
                yield session, settings
        finally:
            engine.dispose()
