"""Programs killed at failpoints, and the state that a job must have afterwards."""

from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import func, update

from ledger.database import UnitOfWork
from ledger.models import Job, Lease
from ledger.settings import Settings
from ledger.states import TERMINAL
from ledger.storage import Storage
from tests.reliability import engine, failpoints
from tests.reliability.programs import Body
from tests.support.factories import current, history, verified
from tests.support.waiting import PATIENCE_SECONDS, eventually

STEPS = 30
"""The length of every training that is killed."""


def failpoint(point: failpoints.Point, folder: Path, who: failpoints.Who = "program") -> Body:
    """Kill the program, or the process alone, at the point."""
    return partial(failpoints.install, point, folder / "reached", who)


def ended(begin: UnitOfWork, job: Job, seconds: float = PATIENCE_SECONDS) -> Job:
    """The job, once it is in a terminal state."""
    eventually(lambda: current(begin, job).status in TERMINAL, seconds)
    return current(begin, job)


def at_step(begin: UnitOfWork, job: Job, step: int) -> None:
    """Return once the training has reached this step. Raises AssertionError if the job ends before."""

    def reached() -> bool:
        row = current(begin, job)
        assert row.status not in TERMINAL, f"{row.error_code}: {row.error_detail}"
        _, progress = row.latest_progress
        return progress.get("stage") == "training" and progress["step"] >= step

    eventually(reached)


def expire_lease(begin: UnitOfWork, job: Job) -> None:
    """Let the lease of a dead or stopped worker expire now, as if its time had passed."""
    with begin() as session:
        expired = func.clock_timestamp() - timedelta(seconds=1)
        session.execute(update(Lease).where(Lease.job_id == job.id).values(until=expired))


def assert_trained_once(begin: UnitOfWork, storage: Storage, settings: Settings, job: Job) -> None:
    """The prior is that of an uninterrupted training, and only steps that a kill lost were repeated."""
    artefacts = verified(begin, storage, job)
    assert [artefact.role for artefact in artefacts] == ["adapter", "manifest"]
    assert storage.get(artefacts[0].key, job.resolved["adapter_sha256"])
    done = engine.recorded_steps(settings.data_dir, job.id)
    assert [step for epoch, step in done if epoch == job.epoch][-1:] in ([STEPS], [])
    assert {step for _, step in done} == set(range(1, STEPS + 1))
    assert len(done) <= STEPS + engine.CHECKPOINT_EVERY
    assert [event.data["status"] for event in history(begin, job)].count("succeeded") == 1
