"""Decorators that turn one description of a call into a method of both clients.

A resource's methods return a `Call` or a `Listing` and send nothing. On a `Client` the decorated method sends the call
and returns the result; on an `AsyncClient` it returns a coroutine. The descriptors keep the parameters of the
decorated method, so type checkers see the same signature on both clients.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper, wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from lipe_client.call import Call, ItemT, Listing, ResponseT

Parameters = ParamSpec("Parameters")
RequestT = TypeVar("RequestT")
OtherT = TypeVar("OtherT")


class SyncSender(Protocol):
    """The part of `Client` that the decorators use."""

    def send(self, call: Call[ResponseT]) -> ResponseT:
        """The result of the call."""

    def rows(self, listing: Listing[ItemT]) -> Iterator[ItemT]:
        """All rows of a list."""


class AsyncSender(Protocol):
    """The part of `AsyncClient` that the decorators use."""

    def send(self, call: Call[ResponseT]) -> Coroutine[Any, Any, ResponseT]:
        """The result of the call."""

    def rows(self, listing: Listing[ItemT]) -> AsyncIterator[ItemT]:
        """All rows of a list."""


class operation(Generic[Parameters, ResponseT]):
    """Decorator of a method that returns a `Call`."""

    def __init__(self, describe: Callable[Concatenate[Any, Parameters], Call[ResponseT]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def then(
        self, convert: "Callable[[Call[ResponseT]], Call[OtherT]]", documentation: str
    ) -> "operation[Parameters, OtherT]":
        """Another operation with the same parameters: it sends the call that `convert` makes of this one's."""

        def describe(client: Any, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Call[OtherT]:
            return convert(self._describe(client, *args, **kwargs))

        update_wrapper(describe, self._describe)  # so that `help` shows the parameters
        describe.__doc__ = documentation
        return operation(describe)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncSender, owner: type) -> Callable[Parameters, ResponseT]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: type) -> Callable[Parameters, Coroutine[Any, Any, ResponseT]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self if client is None else _bind(self._describe, client, client.send)


class list_operation(Generic[Parameters, ItemT]):
    """Decorator of a method that returns a `Listing`; the client fetches further pages as they are needed."""

    def __init__(self, describe: Callable[Concatenate[Any, Parameters], Listing[ItemT]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncSender, owner: type) -> Callable[Parameters, Iterator[ItemT]]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: type) -> Callable[Parameters, AsyncIterator[ItemT]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self if client is None else _bind(self._describe, client, client.rows)


def _bind(
    describe: Callable[Concatenate[Any, Parameters], RequestT], client: Any, send: Callable[[RequestT], Any]
) -> Callable[Parameters, Any]:
    @wraps(describe)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Any:
        return send(describe(client, *args, **kwargs))

    return call
