"""Lists: `{data, has_more, next_cursor}`, newest first, with an opaque cursor."""

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from api import problems
from api.fields import ResponseModel
from ledger.pages import Cursor, Page, Window

Body = TypeVar("Body", bound=BaseModel)
MAX_PAGE = 100
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


# The class of each kind of entry would search for docstrings of attributes in the source code, which takes long.
class Listing(ResponseModel, Generic[Body], use_attribute_docstrings=False):
    """One page. `next_cursor` is the `cursor` of the next page, or null."""

    data: list[Body] = Field(description="Entries of this page, newest first.")
    has_more: bool = Field(description="Whether another page follows.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last page.")


def _is_rfc3339(text: object) -> object:
    """Refuse other formats: pydantic would read a bare number as a Unix time."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time with its zone, such as 2026-01-31T12:00:00Z (a + as %2B)")
    return text


Time = Annotated[AwareDatetime, BeforeValidator(_is_rfc3339)]


async def _window(
    limit: Annotated[
        int,
        Query(
            ge=1, le=MAX_PAGE, description="Largest number of entries. Raise it to read long lists in fewer requests."
        ),
    ] = 20,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next_cursor` of the previous page. Default: the first page.")
    ] = None,
    created_after: Annotated[Time | None, Query(description="Only those created at this time or later.")] = None,
    created_before: Annotated[Time | None, Query(description="Only those created before this time.")] = None,
) -> Window:
    if created_after is not None and created_before is not None and created_before <= created_after:
        raise problems.invalid("must be later than created_after", param="created_before")
    return Window(limit, _decoded(cursor) if cursor is not None else None, created_after, created_before)


PageDep = Annotated[Window, Depends(_window)]


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
        raise problems.invalid("use the `next_cursor` of the previous page, unchanged", param="cursor") from error
