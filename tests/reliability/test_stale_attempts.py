"""Workers that continue after their lease expired, repeated notifications, and cancels at any time.

In each case exactly one attempt is effective.
"""

import os
import signal
import threading
from functools import partial
from pathlib import Path

import psutil
import pytest
from redis import Redis

from ledger import jobs
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.notify import make_notifier
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage, job_prefix
from tests.reliability import engine, failpoints
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import Program, dispatcher, worker
from tests.support.factories import current, history, learn, make_subject, verified
from tests.support.kills import assert_trained_once, ended, expire_lease
from tests.support.waiting import eventually

STEPS = 30
STOPS = failpoints.WORKER | {"before commit": failpoints.Point("worker.run_job:_write", before=True)}


@pytest.mark.parametrize(
    "point", ["mid step", *(pytest.param(point, marks=pytest.mark.slow) for point in ("before commit", "after upload"))]
)
def test_a_worker_stopped_until_its_lease_expired_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    run_audit: RunAudit, tmp_path: Path,
) -> None:  # fmt: skip
    """SIGSTOP stops the worker at the point; it continues when another has finished, and its write is refused."""
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    marker = tmp_path / "reached"
    stop = partial(failpoints.install, STOPS[point], marker, "program", signal.SIGSTOP)
    start(dispatcher())
    stopped = start(worker(["priors"], [stop]))
    eventually(lambda: marker.exists() and is_stopped(stopped))
    expire_lease(begin, job)
    start(worker(["priors"]))
    done = ended(begin, job)
    assert (done.state, done.attempt, done.epoch) == (State.SUCCEEDED, 2, 2)
    before = history(begin, job)
    stopped.send(signal.SIGCONT, group=True)
    eventually(lambda: "attempt 1 ends" in stopped.log.read_text())
    assert history(begin, job) == before
    assert {artefact.key.split("/")[-2] for artefact in verified(begin, storage, job)} == {"2"}
    assert {key.split("/")[-2] for key in storage.keys(job_prefix(project.id, job.id))} == {"2"}
    assert_trained_once(begin, storage, settings, done)
    run_audit()


def test_ten_notifications_of_one_job(
    start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings, run_audit: RunAudit
) -> None:
    subject = make_subject(begin, storage, project)
    work = [learn(begin, project, subject, steps=STEPS, seed=number) for number in range(3)]
    notify = make_notifier(settings)
    for job in work * 10:
        assert notify("lipe.prior", job.id)
    for _ in range(2):
        start(worker(["priors"]))
    for job in work:
        assert (ended(begin, job).state, current(begin, job).epoch) == (State.SUCCEEDED, 1)
        assert engine.recorded_steps(settings.data_dir, job.id) == [(1, step) for step in range(1, STEPS + 1)]
        notify("lipe.prior", job.id)
    eventually(lambda: not waiting(settings))
    for job in work:
        assert_trained_once(begin, storage, settings, current(begin, job))
    run_audit()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_cancels_in_every_state_and_from_many_at_once(
    seed: int, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    run_audit: RunAudit,
) -> None:  # fmt: skip
    """Four users cancel each job at once, each job at a later step than the one before, the last at its end."""
    subject = make_subject(begin, storage, project)
    start(dispatcher())
    start(worker(["priors"]))
    states = set()
    for number in range(10):
        job = learn(begin, project, subject, steps=5, seed=seed * 100 + number)
        due = number * 5 // 9  # 0 .. 5 of 5 steps
        eventually(partial(has_steps, settings, job, due))
        canceling = [threading.Thread(target=cancel, args=(begin, job)) for _ in range(4)]
        for thread in canceling:
            thread.start()
        for thread in canceling:
            thread.join()
        accepted = current(begin, job)
        done = ended(begin, job)
        states.add(done.state)
        if accepted.cancel_requested_at is not None:
            assert done.state == State.CANCELED
        else:
            assert done.state == State.SUCCEEDED
        if done.state == State.CANCELED:
            assert [event.terminal for event in history(begin, job)].count(True) == 1
            eventually(partial(has_no_objects, storage, job))
        cancel(begin, job)
        assert current(begin, job).state == done.state
    assert State.CANCELED in states
    run_audit()


def cancel(begin: UnitOfWork, job: Job) -> None:
    with begin() as session:
        jobs.cancel(session, job.project_id, job.id)


def has_steps(settings: Settings, job: Job, count: int) -> bool:
    return len(engine.recorded_steps(settings.data_dir, job.id)) >= count


def has_no_objects(storage: Storage, job: Job) -> bool:
    return not list(storage.keys(job_prefix(job.project_id, job.id)))


def is_stopped(program: Program) -> bool:
    """Whether SIGSTOP has stopped all its processes."""
    parent = psutil.Process(program.pid)
    return all(each.status() == psutil.STATUS_STOPPED for each in (parent, *parent.children(recursive=True)))


def waiting(settings: Settings) -> int:
    with Redis.from_url(settings.broker_url) as broker:
        return int(broker.llen("priors"))


def test_a_child_process_ends_after_its_parent_was_killed(
    start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings, run_audit: RunAudit
) -> None:
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    start(dispatcher())
    orphaned = start(worker(["priors"]))
    eventually(partial(has_steps, settings, job, 4))
    children = psutil.Process(orphaned.pid).children(recursive=True)
    os.kill(orphaned.pid, signal.SIGKILL)
    eventually(lambda: not any(child.is_running() for child in children))
    expire_lease(begin, job)
    start(worker(["priors"]))
    assert ended(begin, job).state == State.SUCCEEDED
    assert_trained_once(begin, storage, settings, current(begin, job))
    run_audit()
