"""The columns that most tables share."""

from datetime import datetime
from typing import Annotated

from sqlalchemy import ForeignKey, String, func
from sqlalchemy.orm import mapped_column

Id = Annotated[str, mapped_column(String(40), primary_key=True)]
"""Made by `database.new_id`."""

ProjectId = Annotated[str, mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)]
"""Every query but those of the dispatcher names it: rows of another project do not exist."""

ListedProjectId = Annotated[str, mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))]
"""The same, where the index of the list begins with it: one of its own would be written in vain."""

Moment = Annotated[datetime, mapped_column(server_default=func.clock_timestamp())]
"""When the row was written, by the database's clock."""
