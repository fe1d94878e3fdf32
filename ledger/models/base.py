"""The base class of every table, and the columns and indexes that several tables share."""

from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

from sqlalchemy import ForeignKey, Index, MetaData, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import DateTime

CONSTRAINT_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Row(DeclarativeBase):
    """The base of every table. Timestamps have a time zone, lists and dictionaries are JSONB."""

    metadata = MetaData(naming_convention=CONSTRAINT_NAMES)
    type_annotation_map = {  # noqa: RUF012
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        dict[str, str]: JSONB,
        list[str]: JSONB,
        list[dict[str, str]]: JSONB,
    }


Id = Annotated[str, mapped_column(String(40), primary_key=True)]
"""Primary key, made by `new_id`."""

ProjectId = Annotated[str, mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)]
"""The owner. Every query names it, except those of the dispatcher and the audit: a project sees only its own rows."""

ListedProjectId = Annotated[str, mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))]
"""The owner, without an index of its own: the index of the table's list begins with this column."""

Moment = Annotated[datetime, mapped_column(server_default=func.clock_timestamp())]
"""The time at which the row was written, by the database's clock."""


def new_id(prefix: str) -> str:
    """A random public identifier such as `job_9f1c...`; the prefix names the kind of row."""
    return f"{prefix}_{uuid4().hex}"


def list_index(table: str) -> Index:
    """The index of a list that is sorted by creation time, newest first."""
    return Index(f"ix_{table}_project_id_created_at", "project_id", "created_at", "id")


def metadata_index(table: str) -> Index:
    """The index of filters by metadata. Without `fastupdate` a search never scans a list of pending entries."""
    return Index(f"ix_{table}_metadata", "metadata", postgresql_using="gin", postgresql_with={"fastupdate": "off"})
