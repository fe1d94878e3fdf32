"""The real trainer, stopped with SIGTERM or killed at any step, and continued by another worker.

The weights have the same hash as those of an uninterrupted training.
"""

import os
import random
from functools import partial
from pathlib import Path

import pytest

from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability import failpoints
from tests.reliability.failpoints import Point
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import KILLED, Body, dispatcher, put, real_worker
from tests.support.factories import current, history, learn, make_subject, verified
from tests.support.kills import ended, expire_lease, failpoint

STEPS = 60


@pytest.fixture
def settings(settings: Settings, checkpoint: Path) -> Settings:
    """The tiny checkpoint, with a lease for the real trainer."""
    return settings.model_copy(update={"base_model": str(checkpoint)})


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_training_stopped_at_a_random_step(
    seed: int, start: Start, begin: UnitOfWork, storage: Storage, project: Project, run_audit: RunAudit
) -> None:
    subject = make_subject(begin, storage, project)
    interrupted = learn(begin, project, subject, steps=STEPS)
    step = random.Random(seed).randrange(5, STEPS - 10)
    start(dispatcher())
    assert start(real_worker(["priors"], [partial(failpoints.drain_at_step, "training", step)])).wait() == 0
    released = current(begin, interrupted)
    assert (released.state, released.attempt, released.epoch) == (State.QUEUED, 0, 1)
    start(real_worker(["priors"]))
    uninterrupted = learn(begin, project, subject, steps=STEPS)
    resumed, whole = ended(begin, interrupted), ended(begin, uninterrupted)
    assert (resumed.state, resumed.epoch, resumed.attempt) == (State.SUCCEEDED, 2, 1)
    assert (whole.state, whole.epoch) == (State.SUCCEEDED, 1)
    hashes = [verified(begin, storage, job)[0].sha256 for job in (resumed, whole)]
    assert hashes[0] == hashes[1] == resumed.resolved["adapter_sha256"]
    assert len([event for event in history(begin, interrupted) if event.type != "prior.warning"]) == 5
    run_audit()


def on_a_disk_of_its_own(folder: Path) -> Body:
    return partial(_use_folder, str(folder))


def _use_folder(folder: str) -> None:
    os.environ["LIPE_DATA_DIR"] = folder


@pytest.mark.slow
def test_a_machine_is_lost_in_a_training_and_another_one_finishes_it(
    start: Start, begin: UnitOfWork, storage: Storage, project: Project, run_audit: RunAudit, tmp_path: Path
) -> None:
    """Both machines have nothing in common but the database, the broker and the storage."""
    subject = make_subject(begin, storage, project)
    lost = learn(begin, project, subject, steps=2 * STEPS)
    start(dispatcher())
    when_recorded = failpoint(Point("worker.checkpoints:Upload._replace", before=False), tmp_path)
    prepare = [on_a_disk_of_its_own(tmp_path / "first"), put("worker.checkpoints:UPLOAD_SECONDS", 0.05), when_recorded]
    assert start(real_worker(["priors"], prepare)).wait() == KILLED
    assert current(begin, lost).state == State.RUNNING
    expire_lease(begin, lost)
    other = start(real_worker(["priors"], [on_a_disk_of_its_own(tmp_path / "second")]))
    resumed = ended(begin, lost)
    assert (resumed.state, resumed.epoch) == (State.SUCCEEDED, 2)
    assert "resumes from the checkpoint of another machine" in other.log.read_text()
    whole = ended(begin, learn(begin, project, subject, steps=2 * STEPS))
    hashes = [verified(begin, storage, job)[0].sha256 for job in (resumed, whole)]
    assert hashes[0] == hashes[1] == resumed.resolved["adapter_sha256"]
    run_audit()
