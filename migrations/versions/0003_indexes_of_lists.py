"""Indexes of lists: newest first, and by metadata."""

from collections.abc import Sequence

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

LISTED = ("images", "subjects", "edits", "webhook_deliveries")
DESCRIBED = ("subjects", "jobs")


def upgrade() -> None:
    for table in LISTED:
        op.create_index(f"ix_{table}_project_id_created_at", table, ["project_id", "created_at", "id"])
    for table in DESCRIBED:
        op.create_index(f"ix_{table}_metadata", table, ["metadata"], postgresql_using="gin")


def downgrade() -> None:
    for table in DESCRIBED:
        op.drop_index(f"ix_{table}_metadata", table)
    for table in LISTED:
        op.drop_index(f"ix_{table}_project_id_created_at", table)
