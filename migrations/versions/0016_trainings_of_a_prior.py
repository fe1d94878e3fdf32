"""Index of the trainings of a prior: many edits use one prior, and their jobs name it, too."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "ix_jobs_prior_id_created_at", "jobs", ["prior_id", "created_at"], postgresql_where=sa.text("kind = 'prior'")
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_prior_id_created_at", "jobs")
