"""A receiver of webhooks on loopback, for the demo: it keeps what comes and verifies it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from client import verify_webhook


@dataclass
class Receiver:
    """`received` holds the headers and raw body of each message."""

    url: str = ""
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def expect(self, job_ids: set[str], secret: str, patience: float = 30.0) -> list[dict[str, Any]]:
        """The verified events of these jobs, waited for.

        Raises standardwebhooks.WebhookVerificationError for a forged one, TimeoutError where one does not come.
        """
        deadline = time.monotonic() + patience
        with self.arrived:
            while True:
                events = [verify_webhook(secret, headers, body) for headers, body in self.received]
                missing = job_ids - {event["data"]["job_id"] for event in events}
                if not missing:
                    return events
                if not self.arrived.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"no webhook came for {', '.join(sorted(missing))}")


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port, for as long as the block lasts."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with receiver.arrived:
                receiver.received.append((dict(self.headers), body))
                receiver.arrived.notify_all()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass  # the demo's bars have the terminal

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/webhooks"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
