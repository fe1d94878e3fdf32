"""Rename `rung_at`, the time of the newest message to the workers, to `notified_at`."""

from collections.abc import Sequence

from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

NOTIFIED = ("jobs", "webhook_deliveries")


def upgrade() -> None:
    for table in NOTIFIED:
        op.alter_column(table, "rung_at", new_column_name="notified_at")


def downgrade() -> None:
    for table in NOTIFIED:
        op.alter_column(table, "notified_at", new_column_name="rung_at")
