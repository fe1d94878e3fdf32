"""Receipts of consent instead of a mark, the statement that a subject is not a person, and the faces of an image."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_LIVE = sa.text("ended_at IS NULL")


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "consents",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        sa.Column("subject_id", sa.String, sa.ForeignKey("subjects.id", ondelete="CASCADE"), nullable=False),
        sa.Column("person", sa.String, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("evidence", sa.String),
        sa.Column("until", moment),
        sa.Column("ended_at", moment),
        sa.Column("end_reason", sa.String),
        sa.Column("settled_at", moment),
        sa.Column("created_at", moment, server_default=sa.func.clock_timestamp(), nullable=False),
    )
    op.create_index("ix_consents_project_id", "consents", ["project_id"])
    op.create_index("ix_consents_subject_id", "consents", ["subject_id"])
    op.create_index("uq_consents_live", "consents", ["subject_id"], unique=True, postgresql_where=_LIVE)
    op.create_index("ix_consents_until", "consents", ["until"], postgresql_where=_LIVE)
    op.create_index("ix_consents_unsettled", "consents", ["ended_at"], postgresql_where=sa.text("settled_at IS NULL"))
    # A mark says that the person agreed, and nothing else: the receipt says so.
    op.execute(
        "INSERT INTO consents (id, project_id, subject_id, person, purpose, created_at) "
        "SELECT 'con_' || replace(gen_random_uuid()::text, '-', ''), project_id, id, "
        "'not recorded', 'not recorded: stated before receipts were kept', created_at FROM subjects WHERE consent"
    )
    op.drop_column("subjects", "consent")
    op.add_column("subjects", sa.Column("not_a_person", sa.Boolean, server_default=sa.false(), nullable=False))
    op.add_column("images", sa.Column("faces", sa.Integer))


def downgrade() -> None:
    op.drop_column("images", "faces")
    op.drop_column("subjects", "not_a_person")
    op.add_column("subjects", sa.Column("consent", sa.Boolean, server_default=sa.false(), nullable=False))
    op.execute(
        "UPDATE subjects SET consent = true WHERE id IN (SELECT subject_id FROM consents WHERE ended_at IS NULL)"
    )
    op.alter_column("subjects", "consent", server_default=None)
    op.drop_table("consents")
