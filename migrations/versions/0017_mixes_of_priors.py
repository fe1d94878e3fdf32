"""A second prior that an edit mixes in, with its weight."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("edits", sa.Column("mix_prior_id", sa.String, sa.ForeignKey("priors.id")))
    op.add_column("edits", sa.Column("mix_subject_id", sa.String, sa.ForeignKey("subjects.id", ondelete="CASCADE")))
    op.add_column("edits", sa.Column("mix_weight", sa.Double))
    op.create_index("ix_edits_mix_prior_id", "edits", ["mix_prior_id"])
    op.create_index("ix_edits_mix_subject_id", "edits", ["mix_subject_id"])


def downgrade() -> None:
    for column in ("mix_weight", "mix_subject_id", "mix_prior_id"):
        op.drop_column("edits", column)
