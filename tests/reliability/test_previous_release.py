"""The release before this one works on while the new schema is already there, as during a rolling update."""

import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.roles import Program as Role
from ledger.settings import Settings
from ledger.states import TERMINAL, State
from ledger.storage import Storage
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import dispatcher, environment
from tests.support.checkout import ROOT
from tests.support.factories import current, learn, make_subject, verified
from tests.support.kills import ended
from tests.support.waiting import eventually

PREVIOUS = "e6c023f"
"""The commit whose schema is the last one before migration 0025. A release replaces it by its own tag."""
WORK = "from tests.reliability import engine; engine.install(); from worker.app import serve; serve(['priors'])"


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The files of the release before this one."""
    try:
        archive = subprocess.run(
            ["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True, check=True
        ).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"this checkout has no commit {PREVIOUS}: clone the whole history to run this test")
    folder = tmp_path / "previous"
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    assert not (folder / "migrations" / "versions" / "0025_fleet.py").exists()
    return folder


@pytest.mark.slow
def test_a_worker_of_the_previous_release_finishes_a_job_on_the_new_schema(
    previous: Path, settings: Settings, program_urls: dict[Role, str], start: Start, begin: UnitOfWork,
    storage: Storage, project: Project, run_audit: RunAudit, tmp_path: Path,
) -> None:  # fmt: skip
    subject = make_subject(begin, storage, project)
    job = learn(begin, project, subject, steps=20)
    start(dispatcher())
    own = settings.model_copy(update={"database_url": program_urls["worker"]})
    path = f"{previous}{os.pathsep}{previous / 'clients' / 'python'}"
    with (tmp_path / "previous.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORK], cwd=previous, env={**os.environ, **environment(own), "PYTHONPATH": path},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: worker.poll() is not None or current(begin, job).status in TERMINAL)
        assert worker.poll() is None, (tmp_path / "previous.log").read_text()[-3000:]
        done = ended(begin, job)
        assert (done.state, done.attempt) == (State.SUCCEEDED, 1)
        verified(begin, storage, done)
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait(60)
    run_audit()
