"""Alembic's entry: over the connection that `ledger.database.migrate` opened, or over LIPE_DATABASE_URL."""

from alembic import context
from sqlalchemy import Connection

from ledger.database import make_engine
from ledger.settings import Settings
from ledger.tables import METADATA


def run(connection: Connection) -> None:
    """Bring the connection's database to the wanted schema, in the transaction of the caller."""
    context.configure(connection=connection, target_metadata=METADATA)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with make_engine(Settings().database_url).begin() as opened:  # type: ignore[call-arg]
        run(opened)
