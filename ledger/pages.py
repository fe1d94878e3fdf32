"""Keyset pagination, newest first: stable while rows are added, and as fast on page 1000 as on page 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Select, text, tuple_
from sqlalchemy.orm import Session

Item = TypeVar("Item")


class Cursor(NamedTuple):
    """The last row of the previous page."""

    created_at: datetime
    id: str


@dataclass(frozen=True)
class Window:
    """The part of a list to return: at most `limit` rows that follow the cursor `after`.

    Only rows with `created_after` <= `created_at` < `created_before`.
    """

    limit: int = 20
    after: Cursor | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


NEWEST = Window()
_CUSTOM_PLAN = text("SET LOCAL plan_cache_mode = force_custom_plan")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """At most `limit` rows, and the cursor of the next page (None: this is the last)."""

    rows: Sequence[Item]
    next: Cursor | None

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        return self.next is not None


def newest(session: Session, query: Select[Any], table: type[Any], window: Window) -> Page[Any]:
    """Return one page of `query`, which selects `table`; the table has `created_at` and `id`."""
    if window.created_after is not None:
        query = query.where(table.created_at >= window.created_after)
    if window.created_before is not None:
        query = query.where(table.created_at < window.created_before)
    if window.after is not None:
        query = query.where(tuple_(table.created_at, table.id) < tuple_(window.after.created_at, window.after.id))
    # For a statement that it gets often, the server makes one plan for all values. With a rare metadata pair that plan
    # scans the whole table.
    session.execute(_CUSTOM_PLAN)
    ordered = query.order_by(table.created_at.desc(), table.id.desc()).limit(window.limit + 1)
    rows = list(session.scalars(ordered))
    more = len(rows) > window.limit
    rows = rows[: window.limit]
    return Page(rows, Cursor(rows[-1].created_at, rows[-1].id) if more else None)
