"""Attacks of one project on the service, each as a context manager: it goes on while the block runs.

They are those of `docs/attacks.md` that use up what projects share: decoders, threads of webhooks, streams, memory of
bodies, connections, the database. ``python -m benchmarks.attacks NAME`` reads an Attacker as JSON from a line of
standard input, and attacks until its standard input ends.
"""

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import httpx
from PIL import Image

SCAN, END = b"\xff\xda", b"\xff\xd9"
PASSES = 3000
SLOW_IMAGES, STALLED_BODIES, STREAMS, RECEIVERS, SENDERS, HALF_REQUESTS = 6, 30, 500, 40, 16, 100
BODY_BYTES = 32 * 1024 * 1024
PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 5.0
NICENESS = 10
STARTED = "started"


@dataclass(frozen=True)
class Attacker:
    """The project that attacks: the API's URL, its headers, and the body of an edit that it may submit."""

    url: str
    headers: Mapping[str, str]
    edit: Mapping[str, str]

    def connect(self, method: str, path: str, length: int = 0) -> socket.socket:
        """A connection that has sent the head of a request."""
        address = urlsplit(self.url)
        connection = socket.create_connection((address.hostname, address.port), ANSWER_SECONDS)
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: lipe\r\nContent-Length: {length}\r\n{fields}\r\n"
        connection.sendall(head.encode())
        return connection

    def client(self) -> httpx.Client:
        """A client with the attacker's key."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=60, trust_env=False)


Attack = Callable[[Attacker], AbstractContextManager[None]]


def slow_jpeg() -> bytes:
    """Under 200 kB that take minutes to decode: the last pass over a large image, repeated."""
    content = io.BytesIO()
    Image.new("RGB", (3000, 3000), "red").save(content, "JPEG", progressive=True)  # its passes are short
    whole = content.getvalue().removesuffix(END)
    return whole + whole[whole.rindex(SCAN) :] * PASSES + END


@contextmanager
def slow_images(attacker: Attacker) -> Iterator[None]:
    """Images that take minutes to decode, always SLOW_IMAGES at once."""
    bomb = slow_jpeg()

    def upload() -> None:
        with attacker.connect("POST", "/v1/images", len(bomb)) as connection:
            connection.sendall(bomb)
            connection.settimeout(60)
            connection.recv(1)

    with _repeated(upload, SLOW_IMAGES):
        yield


@contextmanager
def stalled_bodies(attacker: Attacker) -> Iterator[None]:
    """Uploads of the largest size, of which the first byte arrives."""
    with ExitStack() as held:
        for _ in range(STALLED_BODIES):
            held.enter_context(attacker.connect("POST", "/v1/images", BODY_BYTES)).sendall(b"x")
        yield


@contextmanager
def event_streams(attacker: Attacker) -> Iterator[None]:
    """Streams of the events of one job; the API refuses those beyond its limit."""
    with attacker.client() as client, ExitStack() as held:
        client.post("/v1/edits", json=attacker.edit)  # refused if another attack has filled the queue
        job = client.get("/v1/jobs?limit=1").raise_for_status().json()["data"][0]["id"]
        for _ in range(STREAMS):
            held.enter_context(attacker.connect("GET", f"/v1/jobs/{job}/events"))
        yield
        client.post(f"/v1/jobs/{job}/cancel")


@contextmanager
def half_requests(attacker: Attacker) -> Iterator[None]:
    """Connections whose headers do not end."""
    address = urlsplit(attacker.url)
    with ExitStack() as held:
        for _ in range(HALF_REQUESTS):
            connection = socket.create_connection((address.hostname, address.port), ANSWER_SECONDS)
            held.enter_context(connection).sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        yield


@contextmanager
def hanging_receivers(attacker: Attacker) -> Iterator[None]:
    """Events for RECEIVERS hosts that accept a connection and never answer."""
    with socket.create_server(("0.0.0.0", 0), backlog=1000) as receiver, attacker.client() as client:  # noqa: S104
        port, counter = receiver.getsockname()[1], iter(range(10**9))

        def announce() -> None:
            host = f"127.0.1.{next(counter) % RECEIVERS + 1}"
            body = {**attacker.edit, "webhook_url": f"http://{host}:{port}/"}
            answer = client.post("/v1/edits", json=body)
            if answer.status_code == httpx.codes.ACCEPTED:
                client.post(f"/v1/jobs/{answer.json()['id']}/cancel")
            threading.Event().wait(PAUSE_SECONDS)

        with _repeated(announce, 1):
            yield


@contextmanager
def submissions(attacker: Attacker) -> Iterator[None]:
    """Edits, as fast as SENDERS connections can send them: the queue is full, then the rate is exceeded."""
    clients = threading.local()

    def submit() -> None:
        if not hasattr(clients, "own"):
            clients.own = attacker.client()
        clients.own.post("/v1/edits", json=attacker.edit)

    with _repeated(submit, SENDERS):
        yield


@contextmanager
def everything(attacker: Attacker) -> Iterator[None]:
    """All attacks at once."""
    with ExitStack() as together:
        for attack in ATTACKS.values():
            if attack is not everything:
                together.enter_context(attack(attacker))
        yield


ATTACKS: Mapping[str, Attack] = {
    f"{SLOW_IMAGES} images that take minutes to decode": slow_images,
    f"{STALLED_BODIES} bodies that stall": stalled_bodies,
    f"{STREAMS} streams of events": event_streams,
    f"{HALF_REQUESTS} requests without an end": half_requests,
    f"{RECEIVERS} receivers that hang": hanging_receivers,
    f"edits from {SENDERS} connections": submissions,
    "all of these at once": everything,
}


@contextmanager
def from_another_process(name: str, attacker: Attacker) -> Iterator[None]:
    """The attack of ATTACKS, by a process that leaves the cores to the service: a real attacker has its own ones."""
    command = [sys.executable, "-m", "benchmarks.attacks", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process of the attack has no pipes")
        print(json.dumps(asdict(attacker)), file=process.stdin, flush=True)
        if process.stdout.readline().strip() != STARTED:
            raise RuntimeError(f"the attack did not start: {name}")
        yield


@contextmanager
def _repeated(act: Callable[[], None], threads: int) -> Iterator[None]:
    """Repeat `act` in threads until the block ends. A refusal or a closed connection is what an attacker expects."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                act()
            except (OSError, httpx.HTTPError):
                stop.wait(PAUSE_SECONDS)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        stop.set()


def main() -> None:
    os.nice(NICENESS)
    attacker = Attacker(**json.loads(sys.stdin.readline()))
    with ATTACKS[sys.argv[1]](attacker):
        print(STARTED, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
