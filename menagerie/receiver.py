"""A webhook receiver on the loopback interface, for the demo. It stores and verifies messages."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lipe_client import verify_webhook


@dataclass
class Receiver:
    """`received` holds the headers and the raw body of each message. `arrived` is notified after each one."""

    url: str = ""
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, job_ids: set[str], secret: str, timeout: float = 30.0) -> list[dict[str, Any]]:
        """Wait for an event of each job; returns all verified events.

        Raises standardwebhooks.WebhookVerificationError for a forged message, and TimeoutError if an event of a job
        does not arrive within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        with self.arrived:
            while True:
                events = [verify_webhook(secret, headers, body) for headers, body in self.received]
                missing = job_ids - {event["data"]["job_id"] for event in events}
                if not missing:
                    return events
                if not self.arrived.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"no webhook came for {', '.join(sorted(missing))}")


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port while the block runs."""
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
            pass  # requests must not break the demo's progress bars

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/webhooks"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
