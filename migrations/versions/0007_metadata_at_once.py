"""Metadata indexes without GIN's list of pending entries, which every search had to scan."""

from collections.abc import Sequence

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

DESCRIBED = ("subjects", "jobs")


def upgrade() -> None:
    for table in DESCRIBED:
        op.execute(f"ALTER INDEX ix_{table}_metadata SET (fastupdate = off)")
        op.execute(f"SELECT gin_clean_pending_list('ix_{table}_metadata')")


def downgrade() -> None:
    for table in DESCRIBED:
        op.execute(f"ALTER INDEX ix_{table}_metadata RESET (fastupdate)")
