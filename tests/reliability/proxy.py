"""A TCP proxy whose connections a test can cut, and an HTTP proxy that changes responses."""

import http.client
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16
HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


class TcpProxy:
    """Forwards bytes to the port `target`, which may change. None: connections are closed at once.

    Only the thread that reads a socket closes it, because the file descriptor may be reused immediately.
    """

    def __init__(self, target: int | None) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator["TcpProxy"]:
        """Context manager that runs the proxy."""
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            self.cut()

    def cut(self) -> int:
        """Cut all connections. Returns their number."""
        with self._lock:
            for client in self._open:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            return len(self._open)

    def _accept(self) -> None:
        with self._listener:
            while True:
                try:
                    client, _ = self._listener.accept()
                except OSError:
                    return
                threading.Thread(target=self._pass, args=(client, self.target), daemon=True).start()

    def _pass(self, client: socket.socket, target: int | None) -> None:
        with client, suppress(OSError):
            if target is None:
                return
            with socket.create_connection(("127.0.0.1", target), 30) as server:
                with self._lock:
                    self._open.add(client)
                try:
                    _exchange(client, server)
                finally:
                    with self._lock:
                        self._open.discard(client)


def _exchange(one: socket.socket, other: socket.socket) -> None:
    """Forward in both directions until either side ends."""
    with selectors.DefaultSelector() as selector:
        for source, sink in ((one, other), (other, one)):
            selector.register(source, selectors.EVENT_READ, sink)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(CHUNK_BYTES)  # type: ignore[union-attr,unused-ignore]
                if not data:
                    return
                key.data.sendall(data)


@dataclass(frozen=True)
class Fault:
    """A fault of a response: another `status`, a pause of `seconds` in its middle, or `cut` in its middle.

    With valid headers but a body that is not what was stored: `halved`, or its last byte `flipped`.
    """

    status: int | None = None
    seconds: float = 0.0
    cut: bool = False
    halved: bool = False
    flipped: bool = False


Faults = Callable[[str, str], Fault | None]
"""Maps (method, path) of a request to the fault of its response."""


class HttpProxy(ThreadingHTTPServer):
    """A proxy for one HTTP server. `faults` may change at any time; `seen` lists the requests."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server, self.faults, self.seen = urlsplit(url).netloc, _none, list[tuple[str, str]]()
        self.url = f"http://127.0.0.1:{self.server_port}"

    faults: Faults

    @contextmanager
    def running(self) -> Iterator["HttpProxy"]:
        """Context manager that runs the proxy."""
        thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def handle_error(self, request: Any, address: Any) -> None:
        """Ignore clients that disconnected."""


class _Handler(BaseHTTPRequestHandler):
    server: HttpProxy
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.command, self.path))
        fault = self.server.faults(self.command, self.path) or Fault()
        if fault.status is not None:
            self._send(fault.status, [("content-type", "application/xml")], _error(fault.status), fault)
            return
        with closing(http.client.HTTPConnection(self.server.server, timeout=30)) as connection:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # with Host, which is signed
                if name.lower() not in HOP_BY_HOP - {"content-length"}:
                    connection.putheader(name, value)
            connection.endheaders(content)
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            body, length = answer.read(), answer.getheader("content-length")
            if body and fault.halved:
                body, length = body[: len(body) // 2], None
            if body and fault.flipped:
                body = body[:-1] + bytes([body[-1] ^ 1])
            self._send(answer.status, headers, body, fault, length)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer

    def _send(
        self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", length or str(len(body)))
        self.end_headers()
        if self.command == "HEAD" or status == 204:
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        time.sleep(fault.seconds)
        if fault.cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body[half:])

    def log_message(self, *arguments: Any) -> None:
        """Write no log."""


def _none(method: str, path: str) -> Fault | None:
    return None


def _error(status: int) -> bytes:
    code = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}[status]
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>an injected fault</Message></Error>".encode()
