"""The scope `admin`, which every key gets that may write; and the time of a key's last use."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("last_used_at", sa.DateTime(timezone=True)))
    # Until now the scope `write` allowed everything. Existing keys keep all rights.
    op.execute("""UPDATE keys SET scopes = '["read", "write", "admin"]' WHERE scopes ? 'write'""")


def downgrade() -> None:
    op.execute("UPDATE keys SET scopes = scopes - 'admin'")
    op.drop_column("keys", "last_used_at")
