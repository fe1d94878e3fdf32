"""Full disks of a worker, of the database and of the API: clear errors meanwhile, and work goes on with more space."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from cli.embedded.process import free_port
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.schema import migrate
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability.limits import SHORT_LEASE_SECONDS, RunAudit, Start
from tests.reliability.programs import api, dispatcher, put, real_worker, worker
from tests.reliability.servers import Restartable, database
from tests.support.factories import learn, make_subject
from tests.support.kills import ended
from tests.support.small_disk import fill, small_disk
from tests.support.uploads import png
from tests.support.waiting import eventually


class TestWorker:
    """A training fails, the worker goes on, and the next job succeeds once there is space."""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Path]:
        with small_disk(tmp_path / "disk", "1m") as disk:
            yield disk

    @pytest.fixture
    def settings(self, settings: Settings, checkpoint: Path, disk: Path) -> Settings:
        return settings.model_copy(update={"base_model": str(checkpoint), "data_dir": disk})

    def test_a_training_fails_and_the_next_one_succeeds(
        self, start: Start, begin: UnitOfWork, storage: Storage, project: Project, disk: Path, run_audit: RunAudit
    ) -> None:
        subject = make_subject(begin, storage, project)
        filler = fill(disk)
        start(dispatcher())
        program = start(real_worker(["priors"]))
        failed = ended(begin, learn(begin, project, subject, steps=3))
        assert (failed.state, failed.error_code) == (State.FAILED, "worker_disk_full")
        filler.unlink()
        assert ended(begin, learn(begin, project, subject, steps=3)).state == State.SUCCEEDED
        assert program.process.exitcode is None
        run_audit()


class TestDatabase:
    """The API answers 503 and accepts nothing that it cannot keep; all accepted jobs succeed afterwards."""

    ENOUGH = 400
    """So many jobs do not fit into the pages that the database has when its disk is full."""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Path]:
        with small_disk(tmp_path / "disk", "192m") as disk:
            yield disk

    @pytest.fixture
    def server(self, disk: Path) -> Iterator[Restartable]:
        with database(disk / "database") as server:
            yield server

    @pytest.fixture
    def settings(self, settings: Settings, server: Restartable) -> Settings:
        changed = {"database_url": server.url, "lease_seconds": SHORT_LEASE_SECONDS, "max_queued_jobs": 1000}
        own = settings.model_copy(update={**changed, "max_attempts": 10})
        migrate(own)
        return own

    def test_no_job_is_accepted_and_lost(
        self, start: Start, begin: UnitOfWork, storage: Storage, project: Project, key: str, disk: Path,
        run_audit: RunAudit,
    ) -> None:  # fmt: skip
        url = f"http://127.0.0.1:{free_port()}"
        path = f"/v1/subjects/{make_subject(begin, storage, project).id}/priors"
        start(dispatcher())
        start(worker(["priors"]))
        start(api(httpx.URL(url).port or 0))
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            eventually(lambda: is_up(client))
            filler, accepted = fill(disk), list[str]()
            for _ in range(self.ENOUGH):
                answer = client.post(path, json={"parameters": {"steps": 1}})
                if answer.status_code != 202:
                    break
                accepted.append(answer.json()["id"])
            assert answer.status_code == 503, answer.text
            assert (answer.json()["code"], answer.json()["retryable"]) == ("unavailable", True)
            filler.unlink()
            eventually(lambda: client.post(path, json={"parameters": {"steps": 1}}).status_code == 202)
        with begin() as session:
            jobs = list(session.scalars(select(Job)))
        assert set(accepted) <= {job.id for job in jobs}
        for job in jobs:
            assert ended(begin, job).state == State.SUCCEEDED
        run_audit()


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


class TestApi:
    """A form whose file does not fit into the folder for temporary files is refused, and the next one is stored."""

    def test_an_upload_is_refused_and_the_next_one_stored(self, tmp_path: Path, start: Start, key: str) -> None:
        port = free_port()
        with small_disk(tmp_path / "disk", "1m") as disk:
            start(api(port, [put("tempfile:tempdir", str(disk))]))
            self.check(httpx.URL(f"http://127.0.0.1:{port}"), key, disk)

    def check(self, url: httpx.URL, key: str, disk: Path) -> None:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            eventually(lambda: is_up(client))
            filler = fill(disk)
            large = {"file": ("large.png", png() + bytes(2**20))}  # beyond the memory that a form may use
            answer = client.post("/v1/images", files=large)
            assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable"), answer.text
            assert "disk" in answer.json()["detail"]
            filler.unlink()
            assert client.post("/v1/images", files={"file": ("small.png", png())}).status_code == 201
