"""The real trainer, stopped with SIGTERM at any step and continued by another worker.

The weights have the same hash as those of an uninterrupted training.
"""

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
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import dispatcher, real_worker
from tests.support.factories import current, history, learn, make_subject, verified
from tests.support.kills import ended

STEPS = 60


@pytest.fixture
def settings(settings: Settings, checkpoint: Path) -> Settings:
    """The tiny checkpoint, with a lease for the real trainer."""
    return settings.model_copy(update={"base_model": str(checkpoint)})


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))])
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
