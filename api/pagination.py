"""Lists: `{data, has_more, next_cursor}`, newest first, by a cursor that means nothing to the caller."""

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel

from api import problems
from ledger.pages import Cursor, Page

Body = TypeVar("Body", bound=BaseModel)
LARGEST_PAGE = 100


class Listing(BaseModel, Generic[Body]):
    """One page; `next_cursor` is the `cursor` of the next, if there is one."""

    data: list[Body]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class Window:
    """Which page is asked for."""

    limit: int
    after: Cursor | None


def _window(
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many to list.")] = 20,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
) -> Window:
    return Window(limit, _decoded(cursor) if cursor is not None else None)


Paging = Annotated[Window, Depends(_window)]


def listing(page: Page[Any], body: Callable[[Any], Body]) -> Listing[Body]:
    """The page's rows as answer bodies."""
    return Listing(
        data=[body(row) for row in page.rows],
        has_more=page.has_more,
        next_cursor=_encoded(page.next) if page.next else None,
    )


def _encoded(cursor: Cursor) -> str:
    content = json.dumps([cursor.created_at.isoformat(), cursor.id], separators=(",", ":"))
    return urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _decoded(text: str) -> Cursor:
    try:
        created_at, identifier = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is None or not re.fullmatch(r"\w{1,40}", identifier):
            raise ValueError(text)
        return Cursor(moment, identifier)
    except (ValueError, TypeError, binascii.Error, UnicodeError) as error:
        raise problems.invalid("use the `next_cursor` of the page before, unchanged", param="cursor") from error
