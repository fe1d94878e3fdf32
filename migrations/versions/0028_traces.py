"""The trace of a job and of its deliveries.

The release before this one can still work with the tables: it leaves the new columns empty.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    for table in ("jobs", "webhook_deliveries"):
        op.add_column(table, sa.Column("traceparent", sa.String))


def downgrade() -> None:
    for table in ("webhook_deliveries", "jobs"):
        op.drop_column(table, "traceparent")
