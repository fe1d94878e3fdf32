"""The expiry of former webhook secrets, and the own deadline of a job."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("webhook_endpoints", sa.Column("former_expires_at", sa.DateTime(timezone=True)))
    op.add_column("projects", sa.Column("former_secret_expires_at", sa.DateTime(timezone=True)))
    op.add_column("jobs", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.create_index("ix_jobs_expiries", "jobs", ["expires_at"], postgresql_where=sa.text("state = 'queued'"))


def downgrade() -> None:
    op.drop_index("ix_jobs_expiries", "jobs")
    op.drop_column("jobs", "expires_at")
    op.drop_column("projects", "former_secret_expires_at")
    op.drop_column("webhook_endpoints", "former_expires_at")
