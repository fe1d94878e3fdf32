"""Keyset pagination, newest first: stable while rows are added, and as quick on page 1000 as on page 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Select, text, tuple_
from sqlalchemy.orm import Session

Item = TypeVar("Item")


class Cursor(NamedTuple):
    """The last row of the page before."""

    created_at: datetime
    id: str


@dataclass(frozen=True)
class Window:
    """Which part of a list: at most `limit` rows behind the cursor `after`, of those made in a stretch of time.

    `created_after` is the first moment that counts, `created_before` the first that does not any more.
    """

    limit: int = 20
    after: Cursor | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


NEWEST = Window()
_FOR_THESE_VALUES = text("SET LOCAL plan_cache_mode = force_custom_plan")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """At most `limit` rows, and where the next page starts (None: this is the last)."""

    rows: Sequence[Item]
    next: Cursor | None

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        return self.next is not None


def newest(session: Session, query: Select[Any], table: type[Any], window: Window) -> Page[Any]:
    """One page of `query`, which selects `table`; the table has `created_at` and `id`."""
    if window.created_after is not None:
        query = query.where(table.created_at >= window.created_after)
    if window.created_before is not None:
        query = query.where(table.created_at < window.created_before)
    if window.after is not None:
        query = query.where(tuple_(table.created_at, table.id) < tuple_(window.after.created_at, window.after.id))
    # A plan for any values, which the server makes for what it is asked often, walks the whole table to a rare pair.
    session.execute(_FOR_THESE_VALUES)
    ordered = query.order_by(table.created_at.desc(), table.id.desc()).limit(window.limit + 1)
    rows = list(session.scalars(ordered))
    more = len(rows) > window.limit
    rows = rows[: window.limit]
    return Page(rows, Cursor(rows[-1].created_at, rows[-1].id) if more else None)
