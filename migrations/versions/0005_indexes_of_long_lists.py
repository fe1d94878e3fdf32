"""Indexes of long lists: jobs by state, and the trainings among many edits. Redundant indexes are dropped."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

LISTED = ("images", "subjects", "edits", "jobs", "webhook_deliveries")


def upgrade() -> None:
    op.create_index("ix_jobs_project_id_state_created_at", "jobs", ["project_id", "state", "created_at", "id"])
    op.create_index(
        "ix_jobs_trainings", "jobs", ["project_id", "created_at", "id"], postgresql_where=sa.text("kind = 'prior'")
    )
    for table in LISTED:
        op.drop_index(f"ix_{table}_project_id", table)


def downgrade() -> None:
    for table in LISTED:
        op.create_index(f"ix_{table}_project_id", table, ["project_id"])
    op.drop_index("ix_jobs_trainings", "jobs")
    op.drop_index("ix_jobs_project_id_state_created_at", "jobs")
