"""Receivers of webhooks that hang or refuse: they delay no job and no other receiver."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import func, select

from ledger import webhooks
from ledger.database import UnitOfWork
from ledger.models import Delivery, Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability.limits import Start
from tests.reliability.programs import dispatcher, put, sender, worker
from tests.support.factories import learn, make_subject
from tests.support.kills import ended
from tests.support.waiting import eventually
from worker.app import WEBHOOKS_AT_ONCE, WEBHOOKS_AT_ONE_RECEIVER

UNTIL_THE_END = 600.0
JOBS, SECONDS = 12, 300.0
HANGING = 12


class Well(ThreadingHTTPServer):
    """Takes every webhook; `seen` are the ids of the jobs that they told of."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Well  # type: ignore[assignment]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.add(body["data"]["job_id"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Silent."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Receivers on loopback."""
    return settings.model_copy(update={"allow_private_urls": True})


@pytest.fixture
def well() -> Iterator[Well]:
    with Well() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.02,))
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@pytest.fixture
def hanging() -> Iterator[list[str]]:
    """The URLs of some that take connections and never say a word."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128)) for _ in range(HANGING)]
        yield [f"http://127.0.0.1:{listener.getsockname()[1]}/hook" for listener in listeners]


@pytest.fixture
def refusing() -> Iterator[str]:
    """The URL of one that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/hook"


def test_dead_receivers_delay_nobody(
    start: Start,
    begin: UnitOfWork,
    storage: Storage,
    project: Project,
    well: Well,
    hanging: list[str],
    refusing: str,
) -> None:
    """What the hanging ones are sent is more than the sender has threads, and none of it ends before the test does."""
    subject = make_subject(begin, storage, project)
    with begin() as session:
        for url in (*hanging, refusing, well.url):
            webhooks.create_endpoint(session, project.id, url)
    patience = [put(f"worker.webhooks:{name}", UNTIL_THE_END) for name in ("TIMEOUT_SECONDS", "LEASE_SECONDS")]
    start(dispatcher())
    start(sender(patience))
    start(worker(["priors"]))
    work = [learn(begin, project, subject, steps=1) for _ in range(JOBS)]
    for job in work:
        assert ended(begin, job, SECONDS).state == State.SUCCEEDED
    eventually(lambda: well.seen == {job.id for job in work}, SECONDS)
    with begin() as session:
        waiting = (Delivery.url.in_(hanging), Delivery.state == "pending", Delivery.last_error.is_(None))
        assert session.scalar(select(func.count()).where(*waiting)) == len(hanging) * JOBS > WEBHOOKS_AT_ONCE
        begun = (*waiting, Delivery.attempts > 0)
        assert session.scalar(select(func.count()).where(*begun)) == len(hanging) * WEBHOOKS_AT_ONE_RECEIVER
