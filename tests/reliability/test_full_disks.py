"""A full disk of a worker: a training fails, the worker goes on, and the next job succeeds once there is space."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import dispatcher, real_worker
from tests.support.factories import learn, make_subject
from tests.support.kills import ended
from tests.support.small_disk import fill, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "1m") as disk:
        yield disk


@pytest.fixture
def settings(settings: Settings, checkpoint: Path, disk: Path) -> Settings:
    """The worker's data are on the small disk."""
    return settings.model_copy(update={"base_model": str(checkpoint), "data_dir": disk})


def test_a_training_fails_and_the_next_one_succeeds(
    start: Start, begin: UnitOfWork, storage: Storage, project: Project, disk: Path, run_audit: RunAudit
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
