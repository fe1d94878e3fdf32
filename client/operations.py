"""One description of a call, two ways to make it.

A resource's methods only describe: they return a `Call`, or the `Listing` of a list. Reached through a `Client` a
`verb` sends it and returns the answer; through an `AsyncClient`, which sends otherwise, it returns a coroutine. The
descriptor keeps the described parameters, so both are as typed as if each were written out.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from client.call import Answer, Call, Item, Listing

Asked = ParamSpec("Asked")
Described = TypeVar("Described")


class Blocking(Protocol):
    """Sends, and waits for the answer."""

    def send(self, call: Call[Answer]) -> Answer:
        """The call's answer."""

    def rows(self, listing: Listing[Item]) -> Iterator[Item]:
        """All rows of a list."""


class Awaiting(Protocol):
    """Sends, and lets others work meanwhile."""

    def send(self, call: Call[Answer]) -> Coroutine[Any, Any, Answer]:
        """The call's answer."""

    def rows(self, listing: Listing[Item]) -> AsyncIterator[Item]:
        """All rows of a list."""


class verb(Generic[Asked, Answer]):
    """Decorates a method that describes a call."""

    def __init__(self, describe: Callable[Concatenate[Any, Asked], Call[Answer]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[Asked, Answer]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[Asked, Coroutine[Any, Any, Answer]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self if client is None else _then(self._describe, client, client.send)


class listing(Generic[Asked, Item]):
    """Decorates a method that describes a list; further pages are asked for as they are needed."""

    def __init__(self, describe: Callable[Concatenate[Any, Asked], Listing[Item]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[Asked, Iterator[Item]]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[Asked, AsyncIterator[Item]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self if client is None else _then(self._describe, client, client.rows)


def _then(
    describe: Callable[Concatenate[Any, Asked], Described], client: Any, send: Callable[[Described], Any]
) -> Callable[Asked, Any]:
    @wraps(describe)
    def sent(*asked: Asked.args, **options: Asked.kwargs) -> Any:
        return send(describe(client, *asked, **options))

    return sent
