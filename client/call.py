"""Calls as values: what is sent, and what its answer means. Nothing here sends."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote
from uuid import uuid4

from client.models import Model

Answer = TypeVar("Answer")
Item = TypeVar("Item", bound=Model)
LARGEST_PAGE = 100


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request; `read` makes its answer of the answered bytes, or the call that goes on from there.

    `path` is the service's, or the whole of a signed URL, which is its own permission: no API key goes there.
    """

    method: str
    path: str
    read: "Callable[[bytes], Answer | Call[Answer]]"
    request: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_signed(self) -> bool:
        """Whether it goes to a signed URL."""
        return not self.path.startswith("/")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """A part of a list, and the cursor of the next part, if there is one."""

    rows: tuple[Item, ...]
    next: str | None


@dataclass(frozen=True)
class Listing(Generic[Item]):
    """A list, newest first, that is asked for page by page."""

    path: str
    item: type[Item]
    query: Mapping[str, str] = field(default_factory=dict)

    def page(self, cursor: str | None = None) -> Call[Page[Item]]:
        """The call for the page at `cursor`; the first without one."""
        query = {"limit": str(LARGEST_PAGE), **self.query, **({"cursor": cursor} if cursor else {})}
        return Call("GET", self.path, self._read, {"params": query})

    def _read(self, content: bytes) -> Page[Item]:
        body = json.loads(content)
        return Page(tuple(self.item.model_validate(row) for row in body["data"]), body["next_cursor"])


class Identified(Protocol):
    """What the service gave an id."""

    @property
    def id(self) -> str:
        """The id."""


def id_of(thing: Identified | str) -> str:
    """A thing's id; an id is its own."""
    return thing if isinstance(thing, str) else thing.id


def at(*parts: Identified | str) -> str:
    """The path of a resource: `at("jobs", job, "cancel")`."""
    return "/".join(["/v1", *(quote(id_of(part), safe="") for part in parts)])


def create(
    path: str,
    read: Callable[[bytes], Answer | Call[Answer]],
    asked: Mapping[str, Any] | None = None,
    *,
    idempotency_key: str | None,
    **request: Any,
) -> Call[Answer]:
    """A POST under an idempotency key, a fresh one unless given: sent twice, it still creates once."""
    headers = {**request.pop("headers", {}), "Idempotency-Key": idempotency_key or uuid4().hex}
    body = {} if asked is None else {"json": given(asked)}
    return Call("POST", path, read, {"headers": headers, **body, **request})


def given(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was left out."""
    return {name: value for name, value in asked.items() if value is not None}


def filters(
    *,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    metadata: Mapping[str, str] | None = None,
    **others: str | None,
) -> dict[str, str]:
    """A list's query. Times have a zone; of `metadata` a row must have every pair."""
    moments = {"created_after": created_after, "created_before": created_before}
    return {
        **{name: moment.isoformat() for name, moment in moments.items() if moment is not None},
        **{f"metadata[{key}]": value for key, value in (metadata or {}).items()},
        **{name: value for name, value in others.items() if value is not None},
    }


def nothing(content: bytes) -> None:
    """What an answer without a body means."""
