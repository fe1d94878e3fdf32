"""Studies: what is compared, the raters and their answers. No other table changes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0029"
down_revision: str | None = "0028"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "studies",
        sa.Column("id", sa.String(40), primary_key=True),
        _owner("project_id", "projects"),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("questions", JSONB, nullable=False),
        sa.Column("exclusion", JSONB, nullable=False),
        sa.Column("attention_checks", sa.Integer, nullable=False),
        sa.Column("repeats", sa.Integer, nullable=False),
        sa.Column("questions_per_rater", sa.Integer, nullable=False),
        sa.Column("max_raters", sa.Integer, nullable=False),
        sa.Column("closed_at", moment),
        sa.Column("created_at", moment, server_default=sa.func.clock_timestamp(), nullable=False),
    )
    op.create_index("ix_studies_project_id_created_at", "studies", ["project_id", "created_at", "id"])
    op.create_index("ix_studies_closed_at", "studies", ["closed_at"])
    op.create_table(
        "study_items",
        sa.Column("id", sa.String(40), primary_key=True),
        _owner("project_id", "projects"),
        _owner("study_id", "studies"),
        sa.Column("subject_id", sa.String, sa.ForeignKey("subjects.id")),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("prompt", sa.String, nullable=False),
        sa.Column("seed", sa.BigInteger),
    )
    op.create_table(
        "study_images",
        sa.Column("id", sa.String(40), primary_key=True),
        _owner("project_id", "projects"),
        _owner("item_id", "study_items"),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("system", sa.String),
        sa.Column("image_id", sa.String, sa.ForeignKey("images.id")),
        sa.Column("edit_id", sa.String, sa.ForeignKey("edits.id")),
        sa.Column("artefact_id", sa.String, sa.ForeignKey("artefacts.id")),
    )
    op.create_table(
        "study_raters",
        sa.Column("id", sa.String(40), primary_key=True),
        _owner("project_id", "projects"),
        _owner("study_id", "studies"),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("created_at", moment, server_default=sa.func.clock_timestamp(), nullable=False),
        sa.UniqueConstraint("study_id", "digest", name="uq_study_raters_study_id"),
    )
    op.create_table(
        "study_answers",
        sa.Column("rater_id", sa.String, sa.ForeignKey("study_raters.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        _owner("item_id", "study_items"),
        sa.Column("question", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("left_system", sa.String, nullable=False),
        sa.Column("right_system", sa.String, nullable=False),
        sa.Column("answer", sa.String, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("created_at", moment, server_default=sa.func.clock_timestamp(), nullable=False),
    )
    op.create_index("ix_study_items_project_id", "study_items", ["project_id"])
    op.create_index("ix_study_items_study_id", "study_items", ["study_id"])
    op.create_index("ix_study_items_subject_id", "study_items", ["subject_id"])
    op.create_index("ix_study_images_project_id", "study_images", ["project_id"])
    op.create_index("ix_study_images_item_id", "study_images", ["item_id"])
    op.create_index("ix_study_images_image_id", "study_images", ["image_id"])
    op.create_index("ix_study_images_edit_id", "study_images", ["edit_id"])
    op.create_index("ix_study_images_artefact_id", "study_images", ["artefact_id"])
    op.create_index("ix_study_raters_project_id", "study_raters", ["project_id"])
    op.create_index("ix_study_answers_item_id", "study_answers", ["item_id"])


def downgrade() -> None:
    for table in ("study_answers", "study_raters", "study_images", "study_items", "studies"):
        op.drop_table(table)


def _owner(column: str, table: str) -> sa.Column[str]:
    """A column with a foreign key: the row is deleted with the one that it names."""
    return sa.Column(column, sa.String, sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False)
