"""Alembic's entry point. It uses the connection that `ledger.schema.migrate` opened, or LIPE_DATABASE_URL."""

from alembic import context
from sqlalchemy import Connection

from ledger.database import make_engine
from ledger.models import METADATA
from ledger.settings import Settings


def run(connection: Connection) -> None:
    """Migrate the connection's database, in the caller's transaction, or else in one for each revision."""
    context.configure(connection=connection, target_metadata=METADATA, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with make_engine(Settings().database_url).connect() as opened:  # type: ignore[call-arg]
        run(opened)
