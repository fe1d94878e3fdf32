"""Retention finds the oldest rows by an index, however many there are."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations import indexes

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    indexes.create_index("ix_edits_created_at", "edits", ["created_at"])
    indexes.create_index("ix_images_created_at", "images", ["created_at"])
    indexes.create_index("ix_priors_unready", "priors", ["created_at"], postgresql_where=sa.text("ready_at IS NULL"))


def downgrade() -> None:
    op.drop_index("ix_priors_unready", "priors")
    op.drop_index("ix_images_created_at", "images")
    op.drop_index("ix_edits_created_at", "edits")
