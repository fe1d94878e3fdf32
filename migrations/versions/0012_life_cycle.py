"""Erasures of priors, edits and images: what was erased, the edits without their prior, the references of a prior."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

EDITS_PRIOR = "fk_edits_prior_id_priors"


def upgrade() -> None:
    op.add_column("erasures", sa.Column("erased", postgresql.JSONB(), nullable=False, server_default="[]"))
    op.execute("UPDATE erasures SET erased = jsonb_build_array(subject_id)")
    op.alter_column("erasures", "erased", server_default=None)
    op.drop_column("erasures", "subject_id")

    op.create_index("ix_idempotent_requests_reported", "idempotent_requests", [sa.text("(body ->> 'id')")])

    op.add_column("edits", sa.Column("prior_deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(EDITS_PRIOR, "edits", type_="foreignkey")
    op.create_foreign_key(EDITS_PRIOR, "edits", "priors", ["prior_id"], ["id"])

    op.add_column("priors", sa.Column("reference_ids", postgresql.JSONB(), nullable=False, server_default="[]"))
    # Until now a subject always kept its references, so these are the ones that its priors were trained on.
    op.execute(
        "UPDATE priors SET reference_ids = coalesce((SELECT jsonb_agg(image_id ORDER BY position)"
        " FROM subject_references WHERE subject_id = priors.subject_id), '[]') WHERE ready_at IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_column("priors", "reference_ids")
    op.drop_constraint(EDITS_PRIOR, "edits", type_="foreignkey")
    op.create_foreign_key(EDITS_PRIOR, "edits", "priors", ["prior_id"], ["id"], ondelete="CASCADE")
    op.drop_column("edits", "prior_deleted_at")
    op.drop_index("ix_idempotent_requests_reported", "idempotent_requests")
    op.add_column("erasures", sa.Column("subject_id", sa.String(), nullable=False, server_default=""))
    op.execute("UPDATE erasures SET subject_id = coalesce(erased ->> 0, '')")
    op.alter_column("erasures", "subject_id", server_default=None)
    op.drop_column("erasures", "erased")
