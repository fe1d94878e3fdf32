"""Known periods: the times in which this database worked. A dispatcher extends the newest one again and again.

A database that was restored from a backup knows nothing of the time since. It ticks again at once, so the tick alone
proves nothing; but the newest period of the backup ends before it, and a new one begins. Objects that were stored
between the two have no rows and are no orphans. The same holds for a standby that lost the last seconds of its primary.

A marker that each backup writes would not do: the first backup after the restore would move it over the gap.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ledger.database import now
from ledger.models import KnownPeriod

TICK_SECONDS = 10.0
GAP = timedelta(seconds=30)
"""A period that was not extended for so long has ended."""


def extend(session: Session, gap: timedelta = GAP) -> None:
    """Extend the newest period to the present, or begin a new one."""
    present = now(session)
    newest = select(func.max(KnownPeriod.id)).scalar_subquery()
    going_on = (KnownPeriod.id == newest, KnownPeriod.ends_at >= present - gap)
    ends_at = func.greatest(KnownPeriod.ends_at, present)
    extended = session.scalars(update(KnownPeriod).where(*going_on).values(ends_at=ends_at).returning(KnownPeriod.id))
    if not extended.all():
        session.add(KnownPeriod(begins_at=present, ends_at=present))
        session.flush()


def listing(session: Session) -> Sequence[KnownPeriod]:
    """All periods, the oldest first."""
    return session.scalars(select(KnownPeriod).order_by(KnownPeriod.id)).all()


def forget_gaps(session: Session) -> int:
    """Make one period of all, after the operator has looked at what the gaps protect. Returns the number of gaps."""
    periods = listing(session)
    if len(periods) > 1:
        begins_at = min(period.begins_at for period in periods)
        session.execute(delete(KnownPeriod).where(KnownPeriod.id != periods[-1].id))
        session.execute(update(KnownPeriod).values(begins_at=begins_at))
    return max(len(periods) - 1, 0)


def contain(periods: Sequence[KnownPeriod], moment: datetime, settled: timedelta) -> bool:
    """Whether the moment is in a period, and at least `settled` before its end.

    Objects that were stored shortly before the end may have had rows that a backup does not have.
    """
    return any(period.begins_at <= moment < period.ends_at - settled for period in periods)
