"""Uploads whose file a worker fetches from a URL."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    for name in ("source_url", "failure", "failure_detail"):
        op.add_column("uploads", sa.Column(name, sa.String(), nullable=True))


def downgrade() -> None:
    for name in ("source_url", "failure", "failure_detail"):
        op.drop_column("uploads", name)
