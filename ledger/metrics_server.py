"""The address at which a program serves its metrics: a port of its own, beside what the program does."""

import hmac
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from ledger.settings import Settings

SOCKET_SECONDS = 10.0
Start = Callable[..., Any]


class MetricsPortTaken(ValueError):
    """Another program uses the address of the metrics; the message says what to do."""


def serve_metrics(settings: Settings, registry: CollectorRegistry) -> Callable[[], None]:
    """Serve the registry at `settings.metrics_port` in a thread; return the function that ends it.

    Does nothing if the port is 0. Raises MetricsPortTaken.
    """
    if not settings.metrics_port:
        return lambda: None
    app = _guarded(make_wsgi_app(registry), settings.metrics_token.get_secret_value())
    address = f"{settings.metrics_host}:{settings.metrics_port}"
    try:
        server = make_server(settings.metrics_host, settings.metrics_port, app, _Server, _Quiet)
    except OSError as error:
        raise MetricsPortTaken(
            f"metrics cannot be served at {address} ({error.strerror}): each program needs its own LIPE_METRICS_PORT"
        ) from error
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()

    def close() -> None:
        server.shutdown()
        server.server_close()

    return close


def has_token(authorization: str, token: str) -> bool:
    """Whether the header `Authorization` has the token of the metrics."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _guarded(app: Any, token: str) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """The application, which refuses requests without the token, if there is one."""

    def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if token and not has_token(environ.get("HTTP_AUTHORIZATION", ""), token):
            start("401 Unauthorized", [("Content-Type", "text/plain"), ("WWW-Authenticate", 'Bearer realm="metrics"')])
            return [b"send the header `Authorization: Bearer` with LIPE_METRICS_TOKEN\n"]
        if environ.get("PATH_INFO") not in {"/metrics", "/"}:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"the metrics are at /metrics\n"]
        answered: Iterable[bytes] = app(environ, start)
        return answered

    return answer


class _Server(WSGIServer):
    """A server whose clients cannot hold it: one request at a time, each of at most SOCKET_SECONDS."""

    def get_request(self) -> Any:
        """Accept a connection."""
        connection, address = super().get_request()
        connection.settimeout(SOCKET_SECONDS)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the client has gone, or was too slow."""
        with suppress(OSError):
            request.close()  # type: ignore[attr-defined]


class _Quiet(WSGIRequestHandler):
    """A handler that writes no line for each request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""
