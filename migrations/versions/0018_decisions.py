"""The append-only log of decisions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

REFUSE = """
CREATE FUNCTION refuse_change_of_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the decision log is append-only: % is refused', TG_OP;
END
$$
"""
TRIGGERS = (
    "CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE ON decisions "
    "FOR EACH ROW EXECUTE FUNCTION refuse_change_of_decisions()",
    "CREATE TRIGGER decisions_not_truncated BEFORE TRUNCATE ON decisions "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_decisions()",
)


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("project_id", sa.String(40), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("policy", sa.String),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("ids", JSONB, nullable=False),
        sa.Column("digests", JSONB, nullable=False),
        sa.Column("previous", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.UniqueConstraint("project_id", "number", name="uq_decisions_project_id"),
    )
    op.create_index("ix_decisions_project_id_created_at", "decisions", ["project_id", "created_at", "id"])
    op.create_index(
        "ix_decisions_ids", "decisions", ["ids"], postgresql_using="gin", postgresql_with={"fastupdate": "off"}
    )
    op.execute(REFUSE)
    for trigger in TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    op.drop_table("decisions")
    op.execute("DROP FUNCTION refuse_change_of_decisions()")
