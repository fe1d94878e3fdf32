"""The share of the GPUs that each project had lately: its GPU seconds, of which the older ones count less.

A project that waited is not owed the time that it did not use, and one that used much is forgiven soon.
"""

from sqlalchemy import ColumnElement, Float, func
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ledger.models import Share

HALF_LIFE_SECONDS = 600.0
"""GPU seconds that were used so long ago count half."""


def charge(session: Session, project_id: str, seconds: ColumnElement[float]) -> None:
    """Add GPU seconds that the project used until now."""
    row = insert(Share).values(project_id=project_id, seconds=seconds, counted_at=func.clock_timestamp())
    since = func.extract("epoch", func.clock_timestamp() - Share.counted_at)
    half_lives = func.least(50.0, func.greatest(0.0, since) / HALF_LIFE_SECONDS)  # `power` must not underflow
    left = Share.seconds * func.power(sql_cast(0.5, Float), half_lives)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Share.project_id],
            set_={"seconds": left + row.excluded.seconds, "counted_at": row.excluded.counted_at},
        )
    )
