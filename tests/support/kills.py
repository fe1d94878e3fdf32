"""Where programs are killed, and what must be true of a job afterwards."""

from functools import partial
from pathlib import Path

from ledger.database import UnitOfWork
from ledger.models import Job
from ledger.settings import Settings
from ledger.states import TERMINAL
from ledger.storage import Storage
from tests.reliability import engine, failpoints
from tests.reliability.programs import Body
from tests.support.factories import current, history, verified
from tests.support.waiting import eventually

STEPS = 30
"""Of every training that is killed."""


def failpoint(point: failpoints.Point, folder: Path, who: failpoints.Who = "program") -> Body:
    return partial(failpoints.install, point, folder / "reached", who)


def ended(begin: UnitOfWork, job: Job, seconds: float = 60.0) -> Job:
    eventually(lambda: current(begin, job).status in TERMINAL, seconds)
    return current(begin, job)


def once_done(begin: UnitOfWork, storage: Storage, settings: Settings, job: Job) -> None:
    """The prior is what an unbroken training gives, no step of it was done for nothing but what a kill lost."""
    made = verified(begin, storage, job)
    assert [artefact.role for artefact in made] == ["adapter", "manifest"]
    assert storage.get(made[0].key, job.resolved["adapter_sha256"])
    done = engine.diary(settings.data_dir, job.id)
    assert [step for epoch, step in done if epoch == job.epoch][-1:] in ([STEPS], [])
    assert {step for _, step in done} == set(range(1, STEPS + 1))
    assert len(done) <= STEPS + engine.CHECKPOINT_EVERY
    assert [event.data["status"] for event in history(begin, job)].count("succeeded") == 1
