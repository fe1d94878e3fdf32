"""Outages of the servers under load: Valkey loses its data, its connections or its process; Postgres restarts."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import select

from cli.embedded.process import free_port
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.schema import migrate
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability.limits import SHORT_LEASE_SECONDS, RunAudit, Start
from tests.reliability.programs import api, dispatcher, worker
from tests.reliability.servers import Restartable, broker, database
from tests.support.factories import current, learn, make_subject
from tests.support.kills import ended
from tests.support.waiting import eventually


class TestBroker:
    """Valkey without persistence: a restart loses all messages."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Restartable]:
        with broker(tmp_path / "broker") as server:
            yield server

    @pytest.fixture
    def settings(self, settings: Settings, server: Restartable) -> Settings:
        return settings.model_copy(update={"broker_url": server.url})

    def test_jobs_survive_a_flush_a_cut_and_a_kill(
        self,
        server: Restartable,
        start: Start,
        begin: UnitOfWork,
        storage: Storage,
        project: Project,
        run_audit: RunAudit,
    ) -> None:
        subject = make_subject(begin, storage, project)
        start(dispatcher())
        workers = [start(worker(["priors"])) for _ in range(2)]
        for fault in ("flush", "cut", "kill"):
            work = [learn(begin, project, subject, steps=10, seed=number) for number in range(6)]
            eventually(partial(any_begun, begin, work))
            if fault == "flush":
                with redis.Redis.from_url(server.url) as broker:
                    broker.flushall()
            elif fault == "cut":
                assert server.proxy.cut() > 0
            else:
                server.kill()
                time.sleep(1.0)
                server.start()
            for job in work:
                done = ended(begin, job)
                assert (done.state, done.attempt) == (State.SUCCEEDED, 1), fault
        assert [program.process.exitcode for program in workers] == [None, None]
        run_audit()


class TestDatabase:
    """Postgres restarts under load: the API answers 503, never 500, and all jobs succeed afterwards."""

    FAULTS = ("stop", "kill", "stop")

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Restartable]:
        with database(tmp_path / "database") as server:
            yield server

    @pytest.fixture
    def settings(self, settings: Settings, server: Restartable) -> Settings:
        # A worker that meets the outage gives the job up, and the reaper requeues it when the lease expires.
        own = settings.model_copy(
            update={"database_url": server.url, "lease_seconds": SHORT_LEASE_SECONDS, "max_attempts": 10}
        )
        migrate(own)
        return own

    def test_restarts_and_a_kill_under_load(
        self, server: Restartable, start: Start, begin: UnitOfWork, storage: Storage, project: Project, key: str,
        run_audit: RunAudit,
    ) -> None:  # fmt: skip
        subject = make_subject(begin, storage, project)
        start(dispatcher())
        start(worker(["priors"]))
        load = Load(start, key, subject.id)
        with load.running():
            for fault in self.FAULTS:
                eventually(lambda: load.answers[202] > 0)
                server.kill() if fault == "kill" else server.stop()
                eventually(lambda: load.answers[503] > 0)
                server.start()
                load.answers.clear()
            eventually(lambda: load.answers[202] > 0)
        assert {202, 503} <= set(load.seen) <= {200, 202, 503}, load.seen
        with begin() as session:
            accepted = list(session.scalars(select(Job).where(Job.id.in_(load.accepted))))
        assert len(accepted) == len(load.accepted) > 0
        for job in accepted:
            assert ended(begin, job).state == State.SUCCEEDED
        run_audit()


class Load:
    """Clients that read and submit all the time and count the status codes."""

    MAX_JOBS = 12

    def __init__(self, start: Start, key: str, subject_id: str) -> None:
        self.port = free_port()
        self.program = start(api(self.port))
        self.headers = {"Authorization": f"Bearer {key}"}
        self.path = f"/v1/subjects/{subject_id}/priors"
        self.answers: Counter[int] = Counter()
        self.seen: Counter[int] = Counter()
        self.accepted: list[str] = []
        self._over = threading.Event()

    def running(self) -> ExitStack:
        stack = ExitStack()
        eventually(self.is_up)
        threads = [threading.Thread(target=self._run) for _ in range(3)]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(self._over.set)
        return stack

    def is_up(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _run(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=self.headers, timeout=60) as client:
            while not self._over.wait(0.05):
                submits = self.answers[202] == 0 and len(self.accepted) < self.MAX_JOBS
                body = {"parameters": {"steps": 3}}
                answer = client.post(self.path, json=body) if submits else client.get("/v1/jobs")
                self.answers[answer.status_code] += 1
                self.seen[answer.status_code] += 1
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["id"])


def any_begun(begin: UnitOfWork, work: list[Job]) -> bool:
    return any(current(begin, job).state != State.QUEUED for job in work)
