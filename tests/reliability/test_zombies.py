"""Workers that pause past their lease, doorbells that ring twice, cancels at any moment: one attempt counts."""

import os
import signal
import threading
from functools import partial
from pathlib import Path

import psutil
import pytest

from ledger import jobs
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.notify import make_notifier
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage, job_prefix
from tests.reliability import engine, failpoints
from tests.reliability.limits import Audited, Start
from tests.reliability.programs import dispatcher, worker
from tests.support.factories import current, history, learn, make_subject, verified
from tests.support.kills import ended, once_done
from tests.support.waiting import eventually

STEPS = 30


@pytest.mark.parametrize("point", ["mid step", "before commit", pytest.param("after upload", marks=pytest.mark.slow)])
def test_a_worker_that_sleeps_past_its_lease_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    audited: Audited, tmp_path: Path,
) -> None:  # fmt: skip
    """Stopped (SIGSTOP) at the point, overtaken by another, and woken (SIGCONT): its finish is refused."""
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    marker = tmp_path / "reached"
    stop = partial(failpoints.install, PAUSES[point], marker, "program", signal.SIGSTOP)
    start(dispatcher())
    sleeper = start(worker(["priors"], [stop]))
    eventually(marker.exists)
    start(worker(["priors"]))
    done = ended(begin, job)
    assert (done.state, done.attempt, done.epoch) == (State.SUCCEEDED, 2, 2)
    before = history(begin, job)
    sleeper.send(signal.SIGCONT, group=True)
    eventually(lambda: "attempt 1 ends" in sleeper.log.read_text())
    assert history(begin, job) == before
    assert {artefact.key.split("/")[-2] for artefact in verified(begin, storage, job)} == {"2"}
    assert {key.split("/")[-2] for key in storage.keys(job_prefix(project.id, job.id))} == {"2"}
    once_done(begin, storage, settings, done)
    audited()


PAUSES = failpoints.WORKER | {"before commit": failpoints.Point("ledger.attempts:finish", before=True)}


def test_a_doorbell_that_rings_ten_times(
    start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings, audited: Audited
) -> None:
    subject = make_subject(begin, storage, project)
    work = [learn(begin, project, subject, steps=STEPS, seed=number) for number in range(3)]
    ring = make_notifier(settings)
    for job in work * 10:
        assert ring("lipe.prior", job.id)
    for _ in range(2):
        start(worker(["priors"]))
    for job in work:
        assert (ended(begin, job).state, current(begin, job).epoch) == (State.SUCCEEDED, 1)
        assert engine.diary(settings.data_dir, job.id) == [(1, step) for step in range(1, STEPS + 1)]
        ring("lipe.prior", job.id)
    eventually(lambda: not waiting(settings))
    for job in work:
        once_done(begin, storage, settings, current(begin, job))
    audited()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_cancels_in_every_state_and_from_many_at_once(
    seed: int, start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings,
    audited: Audited,
) -> None:  # fmt: skip
    """Each job is cancelled by four users at once, a little later in its life than the one before, its end included."""
    subject = make_subject(begin, storage, project)
    start(dispatcher())
    start(worker(["priors"]))
    states = set()
    for number in range(10):
        job = learn(begin, project, subject, steps=5, seed=seed * 100 + number)
        due = number * 5 // 9
        eventually(lambda job=job, due=due: due == 0 or len(engine.diary(settings.data_dir, job.id)) >= due)
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
            eventually(lambda job=job: not list(storage.keys(job_prefix(project.id, job.id))))
        cancel(begin, job)
        assert current(begin, job).state == done.state
    assert State.CANCELED in states
    audited()


def cancel(begin: UnitOfWork, job: Job) -> None:
    with begin() as session:
        jobs.cancel(session, job.project_id, job.id)


def waiting(settings: Settings) -> int:
    from redis import Redis

    with Redis.from_url(settings.broker_url) as broker:
        return int(broker.llen("priors"))


def test_a_parent_killed_alone_leaves_no_child_at_work(
    start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings, audited: Audited
) -> None:
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    start(dispatcher())
    orphaned = start(worker(["priors"]))
    eventually(lambda: len(engine.diary(settings.data_dir, job.id)) > 3)
    children = psutil.WorkerContext(orphaned.pid).children(recursive=True)
    os.kill(orphaned.pid, signal.SIGKILL)
    start(worker(["priors"]))
    assert ended(begin, job).state == State.SUCCEEDED
    eventually(lambda: not any(child.is_running() for child in children))
    once_done(begin, storage, settings, current(begin, job))
    audited()
