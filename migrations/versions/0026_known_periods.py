"""Known periods: the times in which the database worked.

The first period ends with the newest event: this database may be a backup that was restored.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "known_periods",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("begins_at", moment, nullable=False),
        sa.Column("ends_at", moment, nullable=False),
    )
    op.execute(
        "INSERT INTO known_periods (begins_at, ends_at) SELECT 'epoch', "
        "coalesce((SELECT created_at FROM events ORDER BY id DESC LIMIT 1), clock_timestamp())"
    )


def downgrade() -> None:
    op.drop_table("known_periods")
