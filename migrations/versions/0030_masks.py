"""The image in which a job is to find the subject.

The release before this one can still work with the tables: it leaves the new column empty, and takes no such jobs.
"""

from collections.abc import Sequence

from alembic import op

from migrations import indexes

revision: str = "0030"
down_revision: str | None = "0029"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS image_id VARCHAR REFERENCES images (id) ON DELETE CASCADE")
    indexes.create_index("ix_jobs_image_id", "jobs", ["image_id"])


def downgrade() -> None:
    op.drop_column("jobs", "image_id")
