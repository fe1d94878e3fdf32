"""Keyset pagination, newest first: stable while rows are added, and as quick on page 1000 as on page 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import Session

Item = TypeVar("Item")


class Cursor(NamedTuple):
    """The last row of the page before."""

    created_at: datetime
    id: str


@dataclass(frozen=True)
class Page(Generic[Item]):
    """At most `limit` rows, and where the next page starts (None: this is the last)."""

    rows: Sequence[Item]
    next: Cursor | None

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        return self.next is not None


def newest(
    session: Session, query: Select[Any], table: type[Any], *, limit: int = 20, after: Cursor | None = None
) -> Page[Any]:
    """One page of `query`, which selects `table`; the table has `created_at` and `id`."""
    if after is not None:
        query = query.where(tuple_(table.created_at, table.id) < tuple_(after.created_at, after.id))
    ordered = query.order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)
    rows = list(session.scalars(ordered))
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, Cursor(rows[-1].created_at, rows[-1].id) if more else None)
