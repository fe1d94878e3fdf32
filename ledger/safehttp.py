"""POST to and GET from a URL that a user chose, without access to the service's own network (protection against SSRF).

The host is resolved once, all its addresses must be global, and only these are connected to. A name that resolves
differently the second time (DNS rebinding) therefore has no effect. Redirects are not followed and proxies are not
used. The whole exchange has one deadline, because a timeout for each read does not stop a receiver that sends one byte
a second.
"""

import ssl
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

import certifi
import httpcore

from ledger.addresses import WEB_PORTS, normal_url, resolve

MAX_BODY_BYTES = 64 * 1024
FETCH_HEADERS = {"user-agent": "LIPE/1.0", "accept": "image/*", "accept-encoding": "identity"}
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Unreachable(Exception):
    """No usable response: the connection, TLS, the protocol, the deadline or the status. The message says which."""


class TooLarge(Exception):
    """The file is larger than allowed."""


@dataclass(frozen=True)
class Response:
    """The receiver's response: at most the first MAX_BODY_BYTES of the body; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float = 15.0,
    allow_private: bool = False,
    ports: Collection[int] = WEB_PORTS,
) -> Response:
    """Send one POST. Raises Unreachable, and ledger.addresses.Forbidden for an address or port that is not allowed."""
    deadline = time.monotonic() + seconds
    addresses = resolve(url, allow_private=allow_private, ports=ports)
    with _exchange("POST", url, addresses, deadline, headers, body) as response:
        return Response(
            response.status,
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers},
            _read_body(response.iter_stream()),
        )


def get(url: str, *, max_bytes: int, seconds: float = 20.0, allow_private: bool = False) -> bytes:
    """The file at a URL. Raises Unreachable, also for any status but 200, TooLarge, and ledger.addresses.Forbidden."""
    deadline = time.monotonic() + seconds
    addresses = resolve(url, allow_private=allow_private)
    with _exchange("GET", url, addresses, deadline, FETCH_HEADERS) as response:
        if response.status in REDIRECTS:
            raise Unreachable(f"the server redirects (status {response.status}): give the URL of the file itself")
        if response.status != HTTPStatus.OK:
            raise Unreachable(f"the server answered with status {response.status}")
        content = bytearray()
        for chunk in response.iter_stream():
            content += chunk
            if len(content) > max_bytes:
                raise TooLarge(f"the file at the URL has more than {max_bytes} bytes")
    if not content:
        raise Unreachable("the server sent an empty file")
    return bytes(content)


@contextmanager
def _exchange(
    method: str,
    url: str,
    addresses: tuple[str, ...],
    deadline: float,
    headers: Mapping[str, str],
    body: bytes | None = None,
) -> Iterator[httpcore.Response]:
    """Send a request to one of the addresses. The response's body is still to be read. Raises Unreachable."""
    backend = _PinnedBackend(addresses, deadline)
    try:
        with (
            httpcore.ConnectionPool(ssl_context=_tls(), network_backend=backend) as pool,
            pool.stream(method, normal_url(url), headers=[*headers.items()], content=body) as response,
        ):
            yield response
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error


def _read_body(chunks: Iterable[bytes]) -> bytes:
    body = b""
    for chunk in chunks:
        body += chunk
        if len(body) >= MAX_BODY_BYTES:
            break
    return body[:MAX_BODY_BYTES]


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()  # accept the operator's own authorities (SSL_CERT_FILE), too
    return context


class _PinnedBackend(httpcore.NetworkBackend):
    """Connects to the checked addresses and ignores the host; the Host header and SNI are still the URL's."""

    def __init__(self, addresses: tuple[str, ...], deadline: float) -> None:
        self._addresses = addresses
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for position, address in enumerate(self._addresses):
            share = _remaining(self._deadline) / (len(self._addresses) - position)
            try:
                stream = httpcore.SyncBackend().connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream, self._deadline)
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    """A stream whose reads and writes all end at one deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _remaining(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _remaining(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _remaining(self._deadline))
        return _DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise httpcore.ReadTimeout("the server took too long")
    return seconds
