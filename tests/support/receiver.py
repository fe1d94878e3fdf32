"""A webhook receiver on loopback."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver(ThreadingHTTPServer):
    """Answers each POST with the next of `answers` (the last one again and again) and remembers what came."""

    daemon_threads = True

    def __init__(self, *answers: Callable[[BaseHTTPRequestHandler], None] | int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.seen = list(answers), []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append((dict(self.headers), body))
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        if callable(answer):
            answer(self)
        else:
            self.send_response(answer)
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def receiving(*answers: Callable[[BaseHTTPRequestHandler], None] | int) -> Iterator[Receiver]:
    with Receiver(*answers) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()
