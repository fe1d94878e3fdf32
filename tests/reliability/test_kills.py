"""SIGKILL to each program at each failpoint of a job: it is not lost and not run twice, and its files are whole."""

from pathlib import Path

import pytest

from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability import failpoints
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import KILLED, dispatcher, worker
from tests.support.factories import current, edit, learn, make_subject, verified
from tests.support.kills import STEPS, assert_trained_once, ended, expire_lease, failpoint
from tests.support.waiting import eventually

SLOW = [pytest.mark.slow]
CHARGED = {"after claim", "mid step", "before checkpoint", "after checkpoint", "after one upload", "after upload"}
CHARGED |= {"before commit"}
QUICK = {"after checkpoint", "before commit", "after commit"}


@pytest.mark.parametrize("point", [pytest.param(p, marks=[] if p in QUICK else SLOW) for p in failpoints.WORKER])
def test_a_worker_killed_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    run_audit: RunAudit, tmp_path: Path,
) -> None:  # fmt: skip
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    start(dispatcher())
    assert start(worker(["priors"], [failpoint(failpoints.WORKER[point], tmp_path)])).wait() == KILLED
    expire_lease(begin, job)
    start(worker(["priors"]))
    done = ended(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    assert done.attempt == (2 if point in CHARGED else 1)
    assert_trained_once(begin, storage, settings, done)
    if point != "after commit":  # then the worker of the next job deletes it
        eventually(lambda: not list((settings.data_dir / "checkpoints").glob(f"{job.id}.*")))
    run_audit()


@pytest.mark.parametrize("point", ["mid step", pytest.param("after claim", marks=SLOW)])
def test_only_the_child_process_killed_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    run_audit: RunAudit, tmp_path: Path,
) -> None:  # fmt: skip
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    start(dispatcher())
    parent = start(worker(["priors"], [failpoint(failpoints.WORKER[point], tmp_path, "process")]))
    eventually((tmp_path / "reached").exists)
    expire_lease(begin, job)
    done = ended(begin, job)
    assert (done.state, done.attempt, parent.process.exitcode) == (State.SUCCEEDED, 2, None)
    assert_trained_once(begin, storage, settings, done)
    run_audit()


@pytest.mark.parametrize("point", [pytest.param(p, marks=[] if "after" in p else SLOW) for p in failpoints.DISPATCHER])
def test_a_dispatcher_killed_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    run_audit: RunAudit, tmp_path: Path,
) -> None:  # fmt: skip
    subject = make_subject(begin, storage, project)
    job = learn(begin, project, subject, steps=STEPS)
    start(worker(["priors", "edits"]))
    assert start(dispatcher([failpoint(failpoints.DISPATCHER[point], tmp_path)])).wait() == KILLED
    start(dispatcher())
    assert ended(begin, job).state == State.SUCCEEDED
    assert_trained_once(begin, storage, settings, current(begin, job))
    editing = edit(begin, storage, project, subject, job.prior_id)
    assert ended(begin, editing).state == State.SUCCEEDED
    assert len(verified(begin, storage, editing)) == 6
    run_audit()
