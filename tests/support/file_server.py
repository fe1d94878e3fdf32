"""A web server on loopback with files for GET, and functions that answer HEAD."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

File = bytes | int | Callable[[BaseHTTPRequestHandler], None]
"""The content of a file, a status without content, or a function that writes the whole response."""


class FileServer(ThreadingHTTPServer):
    """Answers GET by the path. `seen` has the paths of all requests, `headers` those of the last one."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, File]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.seen, self.headers = files, list[str](), dict[str, str]()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        self.server.headers = dict(self.headers)
        file = self.server.files.get(self.path, 404)
        if callable(file):
            file(self)
            return
        content = file if isinstance(file, bytes) else b""
        self.send_response(200 if isinstance(file, bytes) else file)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *arguments: Any) -> None:
        """Write no log."""


@contextmanager
def serving(files: Mapping[str, File]) -> Iterator[FileServer]:
    """Context manager that runs a file server."""
    with FileServer(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def redirect(to: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """A response that redirects to a URL."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("location", to)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return answer


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A response without a length, until the client hangs up."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        try:
            handler.wfile.write(b"x" * 65_536)
        except OSError:
            return
