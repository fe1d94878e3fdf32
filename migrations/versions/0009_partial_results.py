"""Results that an unfinished edit has stored, so that its next attempt makes only the missing ones."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("partial", JSONB, nullable=False, server_default=sa.text("'{}'")))


def downgrade() -> None:
    op.drop_column("jobs", "partial")
