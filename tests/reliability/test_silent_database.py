"""Postgres is stopped (SIGSTOP) under a training: it neither answers nor closes a connection."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.schema import migrate
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability import engine
from tests.reliability.engine import STEP_SECONDS
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import dispatcher, worker
from tests.reliability.servers import Restartable, database
from tests.support.factories import current, learn, make_subject, verified
from tests.support.kills import ended, expire_lease
from tests.support.waiting import eventually

SILENT_SECONDS = 90.0
STEPS = round(1.5 * SILENT_SECONDS / STEP_SECONDS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Restartable]:
    with database(tmp_path / "database") as server:
        yield server


@pytest.fixture
def settings(settings: Settings, server: Restartable) -> Settings:
    own = settings.model_copy(update={"database_url": server.url})
    migrate(own)
    return own


@contextmanager
def silent(server: Restartable) -> Iterator[None]:
    """Stop all processes of the server; they continue at the end of the block."""
    first = psutil.Process(json.loads((server.folder / "process.json").read_text())["pid"])
    stopped = [first, *first.children(recursive=True)]
    for process in stopped:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            os.kill(process.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_training_goes_on_without_the_database_and_a_drain_is_obeyed(
    server: Restartable, start: Start, settings: Settings, begin: UnitOfWork, storage: Storage, project: Project,
    run_audit: RunAudit,
) -> None:  # fmt: skip
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)

    def steps() -> int:
        return len(engine.recorded_steps(settings.data_dir, job.id))

    start(dispatcher())
    first = start(worker(["priors"]))
    eventually(lambda: steps() > 10)
    with silent(server):
        before = steps()
        time.sleep(SILENT_SECONDS)
        # A busy machine does few steps; a training that waits for the database does none in its last seconds.
        done = steps()
        eventually(lambda: steps() > done, 5.0)
        assert done - before > 100
    eventually(lambda: current(begin, job).latest_progress[1].get("step", 0) > done)
    assert current(begin, job).epoch == 1
    with silent(server):
        first.send(signal.SIGTERM)
        first.wait()  # before the database answers again
    assert current(begin, job).state == State.RUNNING
    expire_lease(begin, job)
    start(worker(["priors"]))
    resumed = ended(begin, job)
    assert (resumed.state, resumed.epoch) == (State.SUCCEEDED, 2)
    verified(begin, storage, resumed)
    assert {step for _, step in engine.recorded_steps(settings.data_dir, job.id)} == set(range(1, STEPS + 1))
    run_audit()
