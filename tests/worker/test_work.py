"""The loop of a worker: it runs what waits, needs no message, lets trainings give way, and ends when it drains."""

from collections.abc import Iterator
from dataclasses import replace
from threading import Thread

import pytest

from ledger.database import UnitOfWork
from ledger.models import Job, Project, Subject
from ledger.states import JobKind, State
from ledger.storage import Storage
from tests.support.factories import current, edit, history, learn
from tests.support.waiting import eventually
from worker import work
from worker.attempt import Attempt
from worker.context import WorkerContext
from worker.work import Work

KINDS: tuple[JobKind, ...] = ("prior", "edit", "captions")


@pytest.fixture
def drains() -> list[bool]:
    """The worker drains once there is an entry."""
    return []


@pytest.fixture
def running(context: WorkerContext, drains: list[bool]) -> Iterator[Work]:
    """A worker that is not started yet, and that ends with the test."""
    context.gpu.base_model()
    made = Work(replace(context, draining=lambda: bool(drains)), KINDS)
    yield made
    drains.append(True)
    if made._thread.is_alive():
        made.finish()


def test_one_message_runs_all_that_waits(
    running: Work, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    jobs = [learn(begin, project, subject, steps=1), edit(begin, storage, project, subject, None, method="sdedit")]
    running.start()
    running.run_waiting()
    assert [current(begin, job).state for job in jobs] == [State.SUCCEEDED] * 2


def test_an_idle_worker_finds_a_job_without_a_message(
    running: Work, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "POLL_SECONDS", (0.01, 0.02))
    running.start()
    job = learn(begin, project, subject, steps=1)
    eventually(lambda: current(begin, job).state == State.SUCCEEDED)


def test_a_training_gives_way_to_an_edit_and_ends_with_the_weights_of_an_unbroken_one(
    running: Work, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The training is the only job that its project may run at once."""
    with begin() as session:
        session.get_one(Project, project.id).max_running_jobs = 1
    unbroken = learn(begin, project, subject, steps=8)
    running.start()
    running.run_waiting()
    monkeypatch.setattr(work, "MIN_TRAINING_SECONDS", 0.0)
    training, edits = learn(begin, project, subject, steps=8), list[Job]()
    report = Attempt.report

    def watched(attempt: Attempt, stage: str, step: int, total: int, **details: object) -> None:
        report(attempt, stage, step, total, **details)
        if (stage, step) == ("training", 3) and not edits:
            edits.append(edit(begin, storage, project, subject, None, method="sdedit"))
            attempt._next_renewal = 0.0
            attempt._wake.set()
            eventually(lambda: attempt.has_given_way)

    monkeypatch.setattr(Attempt, "report", watched)
    running.run_waiting()
    done = current(begin, training)
    assert (done.state, done.attempt, done.epoch) == (State.SUCCEEDED, 1, 2)  # the first attempt is not charged
    assert done.resolved["adapter_sha256"] == current(begin, unbroken).resolved["adapter_sha256"]
    begins = [event.at for event in history(begin, training) if event.type == "prior.running"]
    ended = current(begin, edits[0]).finished_at
    assert ended is not None
    assert begins[0] < ended < begins[1]


def test_a_message_to_a_worker_that_drains_is_let_go(running: Work, drains: list[bool]) -> None:
    running.start()
    drains.append(True)
    waiting = [Thread(target=running.run_waiting) for _ in range(4)]
    for thread in waiting:
        thread.start()
    running.finish()
    for thread in waiting:
        thread.join(60)
        assert not thread.is_alive()
