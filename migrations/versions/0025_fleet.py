"""Facts about each worker for the operator.

The release before this one can still work with the table: the new columns have defaults.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_COLUMNS = ("host", "version", "gpu", "gpu_memory_bytes", "adapters", "is_draining")


def upgrade() -> None:
    op.add_column("workers", sa.Column("host", sa.String, server_default=sa.text("''"), nullable=False))
    op.add_column("workers", sa.Column("version", sa.String, server_default=sa.text("''"), nullable=False))
    op.add_column("workers", sa.Column("gpu", sa.String))
    op.add_column("workers", sa.Column("gpu_memory_bytes", sa.BigInteger))
    op.add_column("workers", sa.Column("adapters", JSONB, server_default=sa.text("'[]'"), nullable=False))
    op.add_column("workers", sa.Column("is_draining", sa.Boolean, server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    for column in _COLUMNS:
        op.drop_column("workers", column)
