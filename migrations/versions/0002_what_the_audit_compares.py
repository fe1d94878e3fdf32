"""Columns that the audit compares: a job's idempotency key, and the time of an endpoint's last change."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("idempotency_key", sa.String(), nullable=True))
    # For existing endpoints the time of the last change is unknown; they get the time of the migration.
    moment = sa.text("clock_timestamp()")
    op.add_column(
        "webhook_endpoints",
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=moment, nullable=False),
    )


def downgrade() -> None:
    op.drop_column("webhook_endpoints", "changed_at")
    op.drop_column("jobs", "idempotency_key")
