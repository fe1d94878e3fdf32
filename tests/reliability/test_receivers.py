"""Webhook receivers that hang or refuse connections delay no job and no other receiver."""

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
from worker.app import WEBHOOK_THREADS, WEBHOOK_THREADS_PER_RECEIVER

UNTIL_THE_END = 600.0
JOBS = 20
HANGING = 7


class ResponsiveReceiver(ThreadingHTTPServer):
    """Accepts every webhook; `seen` has the ids of the jobs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: ResponsiveReceiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.add(body["data"]["job_id"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Write no log."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Allow receivers on loopback."""
    return settings.model_copy(update={"allow_private_urls": True})


@pytest.fixture
def responsive() -> Iterator[ResponsiveReceiver]:
    with ResponsiveReceiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.02,))
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@pytest.fixture
def hanging() -> Iterator[list[str]]:
    """The URLs of receivers that accept connections and never answer."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128)) for _ in range(HANGING)]
        yield [f"http://127.0.0.1:{listener.getsockname()[1]}/hook" for listener in listeners]


@pytest.fixture
def refusing() -> Iterator[str]:
    """The URL of a receiver that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/hook"


def test_dead_receivers_delay_no_job_and_no_other_receiver(
    start: Start,
    begin: UnitOfWork,
    storage: Storage,
    project: Project,
    responsive: ResponsiveReceiver,
    hanging: list[str],
    refusing: str,
) -> None:
    """More deliveries hang than there are sender threads, and none of them times out during the test."""
    subject = make_subject(begin, storage, project)
    with begin() as session:
        for url in (*hanging, refusing, responsive.url):
            webhooks.create_endpoint(session, project.id, url)
    no_timeouts = [put(f"worker.webhooks:{name}", UNTIL_THE_END) for name in ("TIMEOUT_SECONDS", "LEASE_SECONDS")]
    start(dispatcher())
    start(sender(no_timeouts))
    start(worker(["priors"]))
    work = [learn(begin, project, subject, steps=1) for _ in range(JOBS)]
    for job in work:
        assert ended(begin, job).state == State.SUCCEEDED
    eventually(lambda: responsive.seen == {job.id for job in work})
    with begin() as session:
        waiting = (Delivery.url.in_(hanging), Delivery.state == "pending", Delivery.last_error.is_(None))
        assert session.scalar(select(func.count()).where(*waiting)) == len(hanging) * JOBS > WEBHOOK_THREADS

    def begun() -> int | None:
        with begin() as session:
            return session.scalar(select(func.count()).where(*waiting, Delivery.attempts > 0))

    eventually(lambda: begun() == len(hanging) * WEBHOOK_THREADS_PER_RECEIVER)
