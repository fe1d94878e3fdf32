"""The HTTP server, with limits of connections, of headers, and of the time in which they must arrive."""

from asyncio import Transport
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ledger.settings import Settings

MAX_HEADER_BYTES = 32 * 1024
HEADER_SECONDS = 20.0
KEEP_ALIVE_SECONDS = 20


class TimedProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request line and headers do not arrive within HEADER_SECONDS.

    uvicorn itself waits for them without end.
    """

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start the time of the first request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Go on with the time of a request that has begun and is not complete yet."""
        timer = self.timeout_keep_alive_task
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None:
            self._expect_headers(timer.when() if timer is not None else None)

    def _expect_headers(self, until: float | None = None) -> None:
        until = self.loop.time() + HEADER_SECONDS if until is None else until
        self.timeout_keep_alive_task = self.loop.call_at(until, self.timeout_keep_alive_handler)


def server_options(settings: Settings) -> dict[str, Any]:
    """The keyword arguments for uvicorn."""
    return {
        "http": TimedProtocol,
        "limit_concurrency": settings.max_connections,
        "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "server_header": False,
        "access_log": False,  # `api.request_id` logs each request with its id
    }


def serve(host: str, port: int) -> None:
    """Serve the API until SIGTERM or SIGINT."""
    options = server_options(Settings())
    uvicorn.run(
        "api.app:make_app",
        factory=True,
        host=host,
        port=port,
        log_config=None,  # its lines have the format of all others
        **options,
    )
