"""The loop of a worker: it runs what waits, needs no message, lets trainings give way, and ends when it drains."""

from collections.abc import Iterator
from dataclasses import replace
from threading import Event, Thread

import pytest

from ledger.artefacts import NewArtefact
from ledger.database import UnitOfWork
from ledger.models import Job, Project, Subject
from ledger.states import JobKind, State
from ledger.storage import Storage
from lipe_core.methods.request import Edit
from tests.support.factories import current, edit, history, learn, verified
from tests.support.waiting import eventually
from worker import edit as work_of_edits
from worker import work
from worker.attempt import Attempt
from worker.context import WorkerContext
from worker.job_result import JobResult
from worker.results import ResultStore
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


def test_results_are_stored_while_the_next_job_runs(
    running: Work, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first, second = (edit(begin, storage, project, subject, None, method="sdedit") for _ in range(2))
    begins, store, make, states = Event(), ResultStore._store, work_of_edits.make_edits, list[str]()

    def stored(results: ResultStore, number: int, made: Edit) -> list[NewArtefact]:
        if results.attempt.claim.job_id == first.id:
            assert begins.wait(60)
            states.append(current(begin, first).state)
        return store(results, number, made)

    def made(context: WorkerContext, attempt: Attempt) -> JobResult:
        if attempt.claim.job_id == second.id:
            begins.set()
            assert current(begin, first).state == State.RUNNING
        return make(context, attempt)

    monkeypatch.setattr(ResultStore, "_store", stored)
    monkeypatch.setattr(work_of_edits, "make_edits", made)
    running.start()
    running.run_waiting()
    assert states == [State.RUNNING] * 2
    assert [current(begin, job).state for job in (first, second)] == [State.SUCCEEDED] * 2
    digests = [[file.sha256 for file in verified(begin, storage, job)] for job in (first, second)]
    assert digests[0] == digests[1]


def test_a_worker_that_drains_first_ends_what_it_stores(
    running: Work, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, drains: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job, store, is_storing, may_go_on = (
        edit(begin, storage, project, subject, None, method="sdedit"), ResultStore._store, Event(), Event(),
    )  # fmt: skip

    def stored(results: ResultStore, number: int, made: Edit) -> list[NewArtefact]:
        is_storing.set()
        assert may_go_on.wait(60)
        return store(results, number, made)

    monkeypatch.setattr(ResultStore, "_store", stored)
    running.start()
    assert is_storing.wait(60)
    drains.append(True)
    ends = Thread(target=running.finish)
    ends.start()
    ends.join(0.5)
    assert ends.is_alive()
    assert current(begin, job).state == State.RUNNING
    may_go_on.set()
    ends.join(60)
    assert not ends.is_alive()
    released = current(begin, job)  # with the result that was stored, for the next attempt
    assert (released.state, list(released.partial["files"])) == (State.QUEUED, ["1"])


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


def test_an_idle_worker_ends_at_once(running: Work, drains: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "POLL_SECONDS", (3600.0, 3600.0))
    running.start()
    running.run_waiting()
    drains.append(True)
    end = Thread(target=running.finish, daemon=True)
    end.start()
    end.join(60)
    assert running.is_over
