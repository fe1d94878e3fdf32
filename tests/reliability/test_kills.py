"""`kill -9` of each program at each point of a job's life: the job is not lost, not done twice, its files are whole."""

from functools import partial
from pathlib import Path

import pytest

from ledger.database import UnitOfWork
from ledger.jobs import Job
from ledger.projects import Project
from ledger.settings import Settings
from ledger.states import TERMINAL, State
from ledger.storage import Storage
from tests.orders import current, edit, history, learn, make_subject, verified
from tests.reliability import engine, failpoints
from tests.reliability.conftest import Audited, Start, eventually
from tests.reliability.programs import KILLED, Body, dispatcher, worker

STEPS = 30
SLOW = [pytest.mark.slow]
CHARGED = {"after claim", "mid step", "before checkpoint", "after checkpoint", "after one upload", "after upload"}
CHARGED |= {"before commit"}
QUICK = {"after checkpoint", "before commit", "after commit"}


@pytest.mark.parametrize("point", [pytest.param(p, marks=[] if p in QUICK else SLOW) for p in failpoints.WORKER])
def test_a_worker_killed_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    audited: Audited, tmp_path: Path,
) -> None:  # fmt: skip
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    start(dispatcher())
    assert start(worker(["priors"], [failpoint(failpoints.WORKER[point], tmp_path)])).wait() == KILLED
    start(worker(["priors"]))
    done = ended(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    assert done.attempt == (2 if point in CHARGED else 1)
    once_done(begin, storage, settings, done)
    if point != "after commit":  # there the next job's worker tidies up
        eventually(lambda: not list((settings.data_dir / "checkpoints").glob(f"{job.id}.*")))
    audited()


@pytest.mark.parametrize("point", ["mid step", pytest.param("after claim", marks=SLOW)])
def test_the_working_child_killed_alone_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    audited: Audited, tmp_path: Path,
) -> None:  # fmt: skip
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    start(dispatcher())
    whole = start(worker(["priors"], [failpoint(failpoints.WORKER[point], tmp_path, "process")]))
    done = ended(begin, job)
    assert (done.state, done.attempt, whole.process.exitcode) == (State.SUCCEEDED, 2, None)
    once_done(begin, storage, settings, done)
    audited()


@pytest.mark.parametrize("point", [pytest.param(p, marks=[] if "after" in p else SLOW) for p in failpoints.DISPATCHER])
def test_a_dispatcher_killed_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    audited: Audited, tmp_path: Path,
) -> None:  # fmt: skip
    subject = make_subject(begin, storage, project)
    job = learn(begin, project, subject, steps=STEPS)
    start(worker(["priors", "edits"]))
    assert start(dispatcher([failpoint(failpoints.DISPATCHER[point], tmp_path)])).wait() == KILLED
    start(dispatcher())
    assert ended(begin, job).state == State.SUCCEEDED
    once_done(begin, storage, settings, current(begin, job))
    picture = edit(begin, storage, project, subject, job.prior_id)
    assert ended(begin, picture).state == State.SUCCEEDED
    assert len(verified(begin, storage, picture)) == 8
    audited()


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
