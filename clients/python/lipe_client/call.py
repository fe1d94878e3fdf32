"""Requests to the service as values: each describes what to send and how to read the response. Nothing here sends."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote
from uuid import uuid4

from lipe_client.model import Model
from lipe_client.models import ServedModel
from lipe_client.version import VERSION

ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT", bound=Model)
PAGE_SIZE = 100


@dataclass(frozen=True)
class Call(Generic[ResponseT]):
    """One request. `read` converts the response's bytes into the result, or into the next call to send.

    `path` is a path of the service or a whole signed URL. A signed URL carries its own permission: the client sends
    no API key with it.
    """

    method: str
    path: str
    read: "Callable[[bytes], ResponseT | Call[ResponseT]]"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of `httpx.Client.request`."""

    @property
    def is_signed(self) -> bool:
        """Whether the path is a signed URL."""
        return not self.path.startswith("/")


@dataclass(frozen=True)
class Page(Generic[ItemT]):
    """One page of a list, and the cursor of the next page, if there is one."""

    rows: tuple[ItemT, ...]
    next: str | None


@dataclass(frozen=True)
class Listing(Generic[ItemT]):
    """A list of rows, newest first, that the client fetches page by page."""

    path: str
    item: type[ItemT]
    query: Mapping[str, str] = field(default_factory=dict)

    def page(self, cursor: str | None = None) -> Call[Page[ItemT]]:
        """The call for the page at `cursor`, or for the first page."""
        query = {"limit": str(PAGE_SIZE), **self.query, **({"cursor": cursor} if cursor else {})}
        return Call("GET", self.path, self._read, {"params": query})

    def _read(self, content: bytes) -> Page[ItemT]:
        body = json.loads(content)
        return Page(tuple(self.item.model_validate(row) for row in body["data"]), body["next_cursor"])


class Identified(Protocol):
    """An object with an id from the service."""

    @property
    def id(self) -> str:
        """The id."""


def id_of(resource: Identified | str) -> str:
    """The id of a resource; a string is taken as the id itself."""
    return resource if isinstance(resource, str) else resource.id


def fingerprint_of(model: ServedModel | str | None) -> str | None:
    """How a request names a base model: by its fingerprint, or as the caller does."""
    return model.fingerprint if isinstance(model, ServedModel) else model


def path_of(*parts: Identified | str) -> str:
    """The path of a resource: `path_of("jobs", job, "cancel")`."""
    return "/".join(["/v1", *(quote(id_of(part), safe="") for part in parts)])


def create(
    path: str,
    read: Callable[[bytes], ResponseT | Call[ResponseT]],
    body: Mapping[str, Any] | None = None,
    *,
    idempotency_key: str | None,
    **options: Any,
) -> Call[ResponseT]:
    """A POST with an idempotency key (by default a fresh one), so that a retry creates nothing twice."""
    headers = {**options.pop("headers", {}), "Idempotency-Key": idempotency_key or uuid4().hex}
    json_body = {} if body is None else {"json": without_none(body)}
    return Call("POST", path, read, {"headers": headers, **json_body, **options})


def client_headers(api_key: str) -> dict[str, str]:
    """The headers of every request to the service."""
    return {"Authorization": f"Bearer {api_key}", "User-Agent": f"lipe-client/{VERSION} (Python)"}


def without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    """The entries whose value is not None."""
    return {name: value for name, value in body.items() if value is not None}


def filters(
    *,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    metadata: Mapping[str, str] | None = None,
    **others: str | None,
) -> dict[str, str]:
    """The query of a list. Times need a time zone; a row matches if it has every pair of `metadata`."""
    times = {"created_after": created_after, "created_before": created_before}
    return {
        **{name: time.isoformat() for name, time in times.items() if time is not None},
        **{f"metadata[{key}]": value for key, value in (metadata or {}).items()},
        **{name: value for name, value in others.items() if value is not None},
    }


def no_content(content: bytes) -> None:
    """Read a response without a body."""
