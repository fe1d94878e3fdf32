"""One project attacks by slow images, slow bodies, streams and connections; another project is served as before."""

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from select import select as select_sockets
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import body_limit, server
from api.app import make_app
from api.body_shares import BODIES
from api.job_watch import JobWatch
from api.service import SUBMITTING_THREADS
from ledger import projects
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from tests.api.test_decoder import AMPLE_SECONDS, slow_jpeg
from tests.support.api_fixtures import NewKey
from tests.support.uploads import png
from tests.support.waiting import eventually


@pytest.fixture
def attacker(project: Project, new_key: NewKey) -> dict[str, str]:
    """The headers of the project that attacks."""
    return {"Authorization": f"Bearer {new_key(project)}"}


@pytest.fixture
def victim(begin: UnitOfWork, project: Project, new_key: NewKey) -> dict[str, str]:
    """The headers of another project."""
    with begin() as session:
        other = projects.create(session, "victim")
    return {"Authorization": f"Bearer {new_key(other)}"}


@pytest.fixture
def address(server: str) -> tuple[str, int]:
    url = urlsplit(server)
    assert url.hostname
    assert url.port
    return url.hostname, url.port


def test_slow_images_of_one_project_leave_a_decoder_to_another(
    settings: Settings, attacker: dict[str, str], victim: dict[str, str]
) -> None:
    """The attacker's six images would take minutes; none of them is decoded when the victim's image is stored."""
    bomb = slow_jpeg(3000)
    client = TestClient(make_app(settings), raise_server_exceptions=False)
    waiting: list[Future[Any]] = []
    with ThreadPoolExecutor(6) as pool, client:
        service = client.app.state.service  # type: ignore[attr-defined]
        service.decoder.seconds = AMPLE_SECONDS
        waiting += [pool.submit(lambda: client.post("/v1/images", content=bomb, headers=attacker)) for _ in range(6)]
        eventually(lambda: sum(map(len, service.decoder.queue._waiting.values())) == 5)
        stored = client.post("/v1/images", content=png(), headers=victim)
        assert stored.status_code == 201, stored.text
        assert not any(future.done() for future in waiting)
        service.decoder.close()
        assert {future.result(60).status_code for future in waiting} == {500}


def test_images_whose_clients_have_left_are_not_decoded(
    server: str, address: tuple[str, int], served_app: FastAPI, project: Project, attacker: dict[str, str]
) -> None:
    """Three clients leave while their images wait for a decoder. The decoder's next image is one that comes later."""
    queue, content = served_app.state.service.decoder.queue, png()

    async def queued(count: int) -> None:
        await asyncio.to_thread(eventually, lambda: sum(map(len, queue._waiting.values())) == count)

    async def occupy() -> Future[httpx.Response]:
        async with queue.turn(project.id):
            for count in (1, 2, 3):
                with announced(address, attacker, len(content), content):
                    await queued(count)
            later = pool.submit(send_image, server, attacker)  # the server sees the ends of the others before it
            await queued(4)
        return later

    with ThreadPoolExecutor(1) as pool:
        stored = asyncio.run(occupy()).result(60).raise_for_status().json()["id"]
    listed = httpx.get(f"{server}/v1/images", headers=attacker, timeout=60).raise_for_status().json()["data"]
    assert [image["id"] for image in listed] == [stored]


def announced(address: tuple[str, int], headers: dict[str, str], size: int, content: bytes) -> socket.socket:
    """A connection that announces a body of `size` bytes and has sent `content` of it."""
    connection = socket.create_connection(address)
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v1/images HTTP/1.1\r\nHost: lipe\r\nContent-Length: {size}\r\n{fields}\r\n"
    connection.sendall(head.encode() + content)
    return connection


def test_a_body_that_stalls_is_refused(
    address: tuple[str, int], attacker: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "IDLE_SECONDS", 0.2)
    with announced(address, attacker, 1_000_000, b"x" * 1000) as connection:
        connection.settimeout(60)
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(100_000)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_too_slow"' in answer


def test_a_body_that_trickles_is_refused(
    address: tuple[str, int], attacker: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "GRACE_SECONDS", 0.3)
    with announced(address, attacker, 1_000_000, b"x") as connection:
        connection.settimeout(0.05)
        answer = b""
        while not answer:
            connection.send(b"x")
            try:
                answer = connection.recv(100_000)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_bodies_in_progress_of_one_project_have_a_share_of_the_memory(
    server: str, address: tuple[str, int], attacker: dict[str, str], victim: dict[str, str], settings: Settings
) -> None:
    """Each announces the largest file and stalls. The next one is refused at once, and another project's is stored."""
    size = settings.max_upload_bytes
    with ExitStack() as stalled:
        connections = [stalled.enter_context(announced(address, attacker, size, b"x")) for _ in range(BODIES + 1)]
        # The server reads the connections in any order; when it has answered one, the others fill the share.
        answered, _, _ = select_sockets(connections, [], [], 300)
        assert answered[0].recv(64).startswith(b"HTTP/1.1 429 ")
        refused = send_image(server, attacker)
        assert refused.json()["code"] == "too_many_bodies"
        assert refused.json()["retryable"] is True
        assert send_image(server, victim).status_code == 201
    eventually(lambda: send_image(server, attacker).status_code == 201)


def send_image(server: str, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{server}/v1/images", content=png(), headers=headers, timeout=60)


def test_a_client_that_leaves_within_its_body_is_no_failure_of_the_service(
    address: tuple[str, int], attacker: dict[str, str], served_app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    shares = served_app.state.service.body_shares
    for _ in range(3):
        with announced(address, attacker, 1_000_000, b"x" * 1000):
            eventually(lambda: any(shares._held.values()))
        eventually(lambda: not any(shares._held.values()))
    assert "unexpected failure" not in caplog.text


def test_headers_that_do_not_end_close_the_connection(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if another byte arrives now and then."""
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)
    with socket.create_connection(address) as silent, socket.create_connection(address) as trickling:
        silent.settimeout(60)
        assert silent.recv(1) == b""
        trickling.settimeout(0.05)
        closed = False
        while not closed:
            try:
                trickling.send(b"G")
                closed = trickling.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True


def test_long_headers_are_refused(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(60)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: lipe\r\nX-Long: " + b"x" * 2 * server.MAX_HEADER_BYTES)
        assert connection.recv(100).startswith(b"HTTP/1.1 4")


@pytest.fixture
def job(server: str, attacker: dict[str, str]) -> str:
    """A queued training of the attacker."""
    with httpx.Client(base_url=server, headers=attacker, timeout=60) as client:
        images = [client.post("/v1/images", content=png(color)).json()["id"] for color in ("red", "tan", "navy")]
        body = {"name": "Rex", "class_noun": "dog", "references": images}
        subject = client.post("/v1/subjects", json=body).raise_for_status().json()["id"]
        return str(client.post(f"/v1/subjects/{subject}/priors").raise_for_status().json()["id"])


def test_submissions_of_one_project_that_wait_for_the_database_leave_another_its_turn(
    api: TestClient, app: FastAPI, subject: dict[str, Any], begin: UnitOfWork, project: Project,
    stranger: TestClient,
) -> None:  # fmt: skip
    """The attacker's submissions wait for a lock, more of them than the API has threads for submissions."""
    training, many = f"/v1/subjects/{subject['id']}/priors", 2 * SUBMITTING_THREADS
    others = [stranger.post("/v1/images", content=png(color)).json()["id"] for color in ("red", "green", "blue")]
    mine = {"name": "Rex", "class_noun": "dog", "references": others}
    own = stranger.post("/v1/subjects", json=mine).raise_for_status().json()["id"]
    with ThreadPoolExecutor(many) as pool:
        with begin() as session:
            session.scalars(select(Project.id).where(Project.id == project.id).with_for_update()).one()
            waiting = [pool.submit(api.post, training) for _ in range(many)]
            queue = app.state.service.submissions
            eventually(lambda: sum(map(len, queue._waiting.values())) == many - 1)
            assert stranger.post(f"/v1/subjects/{own}/priors").status_code == 202
            assert not any(future.done() for future in waiting)
        assert {future.result().status_code for future in waiting} == {202}


@pytest.fixture
def watch(served_app: FastAPI, server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobWatch]:
    """The server's watch, for two streams of each project."""
    found: JobWatch = served_app.state.service.job_watch
    monkeypatch.setattr(found, "max_streams", 2)
    yield found
    eventually(lambda: not found.streams)


def test_a_project_follows_only_so_many_jobs_at_once(
    server: str, attacker: dict[str, str], victim: dict[str, str], job: str, watch: JobWatch
) -> None:
    url = f"{server}/v1/jobs/{job}/events"
    with httpx.Client(headers=attacker, timeout=60) as client, ExitStack() as streams:
        for _ in range(2):
            assert streams.enter_context(client.stream("GET", url)).status_code == 200
        refused = client.get(url)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert httpx.get(url, headers=victim, timeout=60).status_code == 404  # and not 429
    eventually(lambda: not watch.streams)


def test_many_streams_cost_as_many_queries_as_one(
    server: str, attacker: dict[str, str], job: str, watch: JobWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "max_streams", 100)
    begin, transactions = watch.begin, list[float]()

    def counted() -> AbstractContextManager[Session]:
        transactions.append(time.monotonic())
        return begin()

    url = f"{server}/v1/jobs/{job}/events"
    with httpx.Client(headers=attacker, timeout=60) as client, ExitStack() as streams:
        lines = [streams.enter_context(client.stream("GET", url)).iter_lines() for _ in range(8)]
        assert [next(line) for line in lines] == ["id: 1"] * 8  # the streams end with these iterators
        eventually(lambda: sum(map(len, watch._waiting.values())) == 8)
        monkeypatch.setattr(watch, "begin", counted)
        time.sleep(1.0)
        count = len(transactions)
    assert 1 <= count <= 10  # each stream by itself would have begun three or more


def test_too_many_connections_are_answered_at_once(settings: Settings) -> None:
    async def answers() -> tuple[int, int]:
        options = server.server_options(settings.model_copy(update={"max_connections": 2}))
        config = uvicorn.Config(make_app(settings), port=0, log_level="warning", **options)
        running = uvicorn.Server(config)
        task = asyncio.create_task(running.serve())
        while not running.started:
            await asyncio.sleep(0.01)
        port = running.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            alone = (await client.get("/healthz")).status_code
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            crowded = (await client.get("/healthz")).status_code
            for _, writer in held:
                writer.close()
        running.should_exit = True
        await task
        return alone, crowded

    assert asyncio.run(answers()) == (200, 503)
