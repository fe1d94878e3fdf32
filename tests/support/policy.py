"""The example policy server and a stub, on loopback, and settings that use them."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from ledger.settings import Settings
from tests.support.receiver import Answer

SECRET = "whsec_" + "cG9saWN5IHNlY3JldCBvZiB0aGUgdGVzdHMgb25seSE="


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Context manager that runs the application and yields its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def asking(settings: Settings, url: str, fails: str = "closed", seconds: float = 30.0) -> Settings:
    """The settings with this policy."""
    given: dict[str, Any] = {"policy_url": url, "policy_secret": SecretStr(SECRET), "policy_fails": fails}
    return settings.model_copy(update=given | {"policy_timeout_seconds": seconds})


def saying(content: Any) -> Answer:
    """An answer of a `Receiver`: status 200 with this JSON."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(200)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return send
