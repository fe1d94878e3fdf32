"""The chat server of `chat_server.py` for tests: a separate process with its own port."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from lipe_core.captioning.chat import ChatEndpoint

KEY = "sk-secret-of-this-test"


class Chat:
    """A running server, its answers and the requests that it got."""

    def __init__(self, server: httpx.Client) -> None:
        self.server = server
        self.endpoint = ChatEndpoint(str(server.base_url.join("/v1")), KEY, "tiny", timeout=20, retries=2)

    def plays(self, *steps: dict[str, Any]) -> None:
        """Answer the next requests with these steps; earlier requests are deleted."""
        self.server.post("/script", json=list(steps)).raise_for_status()

    @property
    def requests(self) -> list[dict[str, Any]]:
        return list(self.server.get("/requests").json())

    @property
    def questions(self) -> list[str]:
        return [request["body"]["messages"][-1]["content"] for request in self.requests]


@contextmanager
def serving() -> Iterator[Chat]:
    """Run the server inside the block."""
    script = Path(__file__).with_name("chat_server.py")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
            with httpx.Client(base_url=url, verify=False, trust_env=False, timeout=30) as client:
                yield Chat(client)
        finally:
            process.terminate()


def prompts(*texts: Any) -> dict[str, Any]:
    """A step in which the model answers with these prompts."""
    return {"content": {"prompts": list(texts)}}
