"""The proxy of docker-compose.yml, run by nginx in front of real servers. Without nginx the tests are skipped."""

import shutil
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
        self.send_header("x-replica", self.connection.getsockname()[0])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Write no log."""


class _Names(threading.Thread):
    """A DNS server that gives each name these IPv4 addresses."""

    def __init__(self, addresses: list[str]) -> None:
        super().__init__(daemon=True)
        self.addresses = addresses
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self) -> None:
        while True:
            query, sender = self.socket.recvfrom(512)
            if not query:
                return
            records = b"".join(
                b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04" + socket.inet_aton(one) for one in self.addresses
            )
            counts = b"\x00\x01" + len(self.addresses).to_bytes(2, "big") + bytes(4)
            self.socket.sendto(query[:2] + b"\x81\x80" + counts + query[12:] + records, sender)

    def stop(self) -> None:
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.join()
        self.socket.close()


@contextmanager
def replica(address: str, port: int = 0) -> Iterator[int]:
    """A server on a loopback address; its port."""
    with ThreadingHTTPServer((address, port), _Api) as api:
        thread = threading.Thread(target=api.serve_forever, args=(0.02,))
        thread.start()
        yield api.server_port
        api.shutdown()
        thread.join()


@contextmanager
def running_proxy(folder: Path, names: _Names, api_port: int, limits: dict[str, str]) -> Iterator[str]:
    """The URL of nginx with the configuration, except for its ports, the names and the given limits."""
    port = free_port()
    changes = {
        "http://api:8000": f"http://api:{api_port}",
        "resolver 127.0.0.11 valid=5s": f"resolver 127.0.0.1:{names.port} valid=1s",
        "listen 8080": f"listen 127.0.0.1:{port}",
        "/tmp/": f"{folder}/",
    }
    text = CONF.read_text()
    for old, new in (changes | limits).items():
        assert old in text
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    command = [str(NGINX), "-c", str(folder / "nginx.conf"), "-p", str(folder), "-g", "daemon off;"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as nginx:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: answers(url) or nginx.poll() is not None)
        assert nginx.poll() is None, (folder / "log").read_text()
        yield url
        nginx.terminate()


@pytest.fixture
def names() -> Iterator[_Names]:
    """The name server, which knows one replica."""
    server = _Names(["127.0.0.1"])
    server.start()
    yield server
    server.stop()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, headers={"Authorization": "Bearer start"}).status_code == 200
    except httpx.TransportError:
        return False


def test_a_key_that_sends_too_much_is_refused_and_another_is_served(names: _Names, tmp_path: Path) -> None:
    with replica("127.0.0.1") as port, running_proxy(
        tmp_path, names, port, {"rate=50r/s": "rate=1r/m", "burst=200": "burst=3"}
    ) as proxy:  # fmt: skip
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


def test_replicas_of_the_api_that_come_and_go_are_noticed(names: _Names, tmp_path: Path) -> None:
    def served_by(url: str) -> Counter[str]:
        answers = [httpx.get(f"{url}/v1/jobs", headers={"Authorization": "Bearer one"}) for _ in range(10)]
        return Counter(answer.headers.get("x-replica", str(answer.status_code)) for answer in answers)

    with ExitStack() as stack:
        second = stack.enter_context(ExitStack())
        port = stack.enter_context(replica("127.0.0.1"))
        proxy = stack.enter_context(running_proxy(tmp_path, names, port, {"rate=50r/s": "rate=5000r/s"}))
        assert set(served_by(proxy)) == {"127.0.0.1"}
        second.enter_context(replica("127.0.0.2", port))
        names.addresses = ["127.0.0.1", "127.0.0.2"]
        eventually(lambda: set(served_by(proxy)) == {"127.0.0.1", "127.0.0.2"})
        second.close()  # it is in the names for a while yet: nginx asks the other one
        assert set(served_by(proxy)) == {"127.0.0.1"}
        names.addresses = ["127.0.0.1"]
        assert set(served_by(proxy)) == {"127.0.0.1"}
