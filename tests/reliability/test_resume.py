"""The real trainer, told to stop (SIGTERM) at any step and continued by another worker: the weights are those of an
unbroken training, by their hash."""

import random
import signal
from pathlib import Path

import pytest

from ledger.database import UnitOfWork
from ledger.jobs import Job
from ledger.projects import Project
from ledger.settings import Settings
from ledger.states import TERMINAL, State
from ledger.storage import Storage
from tests.reliability.limits import Audited, Start
from tests.reliability.programs import dispatcher, real_worker
from tests.support.factories import current, history, learn, make_subject, verified
from tests.support.kills import ended
from tests.support.waiting import eventually

STEPS = 60


@pytest.fixture
def settings(settings: Settings, checkpoint: Path) -> Settings:
    """On the tiny checkpoint, with time for a busy machine."""
    return settings.model_copy(update={"base_model": str(checkpoint), "lease_seconds": 30.0})


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))])
def test_a_training_stopped_at_a_random_step(
    seed: int, start: Start, begin: UnitOfWork, storage: Storage, project: Project, audited: Audited
) -> None:
    subject = make_subject(begin, storage, project)
    broken_off = learn(begin, project, subject, steps=STEPS)
    step = random.Random(seed).randrange(5, STEPS - 10)
    start(dispatcher())
    first = start(real_worker(["priors"]))
    eventually(lambda: at(begin, broken_off) >= step, 120)
    first.send(signal.SIGTERM)
    assert first.wait(60) == 0
    released = current(begin, broken_off)
    assert (released.state, released.attempt, released.epoch) == (State.QUEUED, 0, 1)
    start(real_worker(["priors"]))
    unbroken = learn(begin, project, subject, steps=STEPS)
    resumed, whole = ended(begin, broken_off, 120), ended(begin, unbroken, 120)
    assert (resumed.state, resumed.epoch, resumed.attempt) == (State.SUCCEEDED, 2, 1)
    assert (whole.state, whole.epoch) == (State.SUCCEEDED, 1)
    hashes = [verified(begin, storage, job)[0].sha256 for job in (resumed, whole)]
    assert hashes[0] == hashes[1] == resumed.resolved["adapter_sha256"]
    assert len(history(begin, broken_off)) == 5
    audited()


def at(begin: UnitOfWork, job: Job) -> int:
    now = current(begin, job)
    assert now.status not in TERMINAL, f"it ended before it was stopped: {now.error_detail}"
    return int(now.progress["step"]) if now.progress.get("stage") == "training" else 0
