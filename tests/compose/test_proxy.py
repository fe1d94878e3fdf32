"""The proxy of docker-compose.yml, run by nginx in front of a real server. Without nginx the tests are skipped."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.embedded.process import free_port
from tests.support.waiting import eventually

CONF = Path(__file__).resolve().parents[2] / "deploy/nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.path} {self.headers['host']} {self.headers['authorization']}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Write no log."""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    """The URL of nginx with the configuration, except for its ports and the rate, which is one request a minute."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Api) as api:
        thread = threading.Thread(target=api.serve_forever, args=(0.02,))
        thread.start()
        port = free_port()
        text = CONF.read_text()
        for old, new in (
            ("server api:8000", f"server 127.0.0.1:{api.server_port}"),
            ("listen 8080", f"listen 127.0.0.1:{port}"),
            ("rate=50r/s", "rate=1r/m"),
            ("burst=200", "burst=3"),
            ("/tmp/", f"{tmp_path}/"),
        ):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "nginx.conf").write_text(text)
        command = [str(NGINX), "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path), "-g", "daemon off;"]
        with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log) as nginx:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: answers(url) or nginx.poll() is not None)
            assert nginx.poll() is None, (tmp_path / "log").read_text()
            yield url
            nginx.terminate()
        api.shutdown()
        thread.join()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, headers={"Authorization": "Bearer start"}).status_code == 200
    except httpx.TransportError:
        return False


def test_a_key_that_sends_too_much_is_refused_and_another_is_served(proxy: str) -> None:
    attacker, victim = {"Authorization": "Bearer attacker"}, {"Authorization": "Bearer victim"}
    sent = [httpx.get(f"{proxy}/v1/jobs?limit=1", headers=attacker) for _ in range(8)]
    assert [answer.status_code for answer in sent] == [200] * 4 + [429] * 4
    refused = sent[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.json()["code"], refused.json()["status"], refused.headers["retry-after"]) == (
        "too_many_requests", 429, "5",
    )  # fmt: skip
    served = httpx.get(f"{proxy}/v1/jobs?limit=1", headers=victim)
    assert served.text == f"/v1/jobs?limit=1 {proxy.removeprefix('http://')} Bearer victim"
    assert httpx.get(f"{proxy}/metrics", headers={"Authorization": "Bearer other"}).status_code == 404
