"""A webhook receiver on loopback."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None] | int
"""A status, or a function that writes the response."""


class Receiver(ThreadingHTTPServer):
    """Answers each POST with the next of `answers`, and repeats the last one.

    `seen` has the headers and bodies, `paths` the paths with their queries.
    """

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.paths.append(self.path)
        self.server.seen.append((dict(self.headers), body))
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        if callable(answer):
            answer(self)
        else:
            self.send_response(answer)
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Write no log."""


@contextmanager
def receiving(*answers: Answer) -> Iterator[Receiver]:
    """Context manager that runs a receiver."""
    with Receiver(*answers) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()
