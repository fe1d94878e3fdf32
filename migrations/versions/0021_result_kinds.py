"""The kind of result that a project's edits make by default."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("result_kind", sa.String, nullable=False, server_default="archival"))


def downgrade() -> None:
    op.drop_column("projects", "result_kind")
