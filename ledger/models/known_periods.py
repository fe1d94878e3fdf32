"""The table of the times in which the database worked."""

from datetime import datetime

from sqlalchemy import BigInteger, Identity
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import Row


class KnownPeriod(Row):
    """A time in which this database worked without a gap (`ledger.known_periods`)."""

    __tablename__ = "known_periods"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    begins_at: Mapped[datetime]
    ends_at: Mapped[datetime]
