"""Workers choose their job: the rank of a job, the weight and quotas of a project, its share. Leases are rows.

The release before this one can still work with the tables: it ignores the new columns, and the old ones remain.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_QUEUED = sa.text("state = 'queued'")
_RUNNING = sa.text("state = 'running'")


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.add_column("jobs", sa.Column("priority", sa.Integer, server_default=sa.text("0"), nullable=False))
    op.add_column("jobs", sa.Column("base_model", sa.String))
    # Added without its default, which would write every row of the table anew.
    op.add_column("jobs", sa.Column("rank_at", moment))
    op.alter_column("jobs", "rank_at", server_default=sa.func.clock_timestamp())
    op.execute("UPDATE jobs SET rank_at = created_at WHERE state IN ('queued', 'running')")
    op.create_index("ix_jobs_waiting", "jobs", ["project_id", "kind", "rank_at", "id"], postgresql_where=_QUEUED)
    op.create_index("ix_jobs_running", "jobs", ["project_id"], postgresql_where=_RUNNING)
    op.drop_index("ix_jobs_leases", "jobs")
    op.create_table(
        "leases",
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("until", moment, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("progress", JSONB, nullable=False),
        sa.Column("progress_sequence", sa.Integer, nullable=False),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "shares",
        sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("counted_at", moment, nullable=False),
    )
    op.create_table(
        "usage_by_kind",
        sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("gpu_seconds", sa.Double, nullable=False),
    )
    op.add_column("projects", sa.Column("weight", sa.Double, server_default=sa.text("1"), nullable=False))
    for quota in ("max_running_jobs", "max_queued_jobs", "max_gpu_seconds_per_day"):
        op.add_column("projects", sa.Column(quota, sa.Integer))


def downgrade() -> None:
    for column in ("max_gpu_seconds_per_day", "max_queued_jobs", "max_running_jobs", "weight"):
        op.drop_column("projects", column)
    op.drop_table("usage_by_kind")
    op.drop_table("shares")
    op.execute(
        "UPDATE jobs SET lease_until = leases.until, sequence = greatest(jobs.sequence, leases.sequence) "
        "FROM leases WHERE leases.job_id = jobs.id AND jobs.state = 'running'"
    )
    op.drop_table("leases")
    op.create_index("ix_jobs_leases", "jobs", ["lease_until"], postgresql_where=_RUNNING)
    op.drop_index("ix_jobs_running", "jobs")
    op.drop_index("ix_jobs_waiting", "jobs")
    for column in ("rank_at", "base_model", "priority"):
        op.drop_column("jobs", column)
