"""The dispatcher's periodic tasks: they notify and clean up, and after an error they are retried later."""

import threading

import pytest
from sqlalchemy import func, select

from ledger import attempts, erasures, outbox, uploads
from ledger.database import UnitOfWork, make_engine, unit_of_work
from ledger.models import Job, OutboxEntry, Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.support.rows import make_job, make_subject
from worker import dispatcher
from worker.dispatcher import PeriodicTask, periodic_tasks, repeat, run_once
from worker.metrics import DispatcherMetrics


@pytest.fixture
def job(begin: UnitOfWork, project: Project) -> Job:
    """A queued job."""
    with begin() as session:
        return make_job(session, make_subject(session, project.id))


def test_one_round_reaps_notifies_and_sweeps(
    begin: UnitOfWork, dispatcher_begin: UnitOfWork, settings: Settings, storage: Storage, job: Job
) -> None:
    with begin() as session:
        attempts.claim(session, job.id, "a worker that dies", lease_seconds=-1)
        other = make_job(session, make_subject(session, job.project_id))
        erasures.erase_subject(session, job.project_id, other.subject_id)
        uploads.create(session, job.project_id, content_type="image/png", size=1, seconds=-3600)
    outbox.publish(begin, lambda task, identifier: True)
    notified: list[tuple[str, str]] = []

    def notify(task: str, identifier: str) -> bool:
        notified.append((task, identifier))
        return True

    settled = settings.model_copy(update={"lease_seconds": 0.0})
    for task in periodic_tasks(settled, dispatcher_begin, notify, storage):
        run_once(task, DispatcherMetrics())
    assert notified == [("lipe.prior", job.id)]
    with begin() as session:
        assert session.get_one(Job, job.id).state == State.QUEUED
        assert erasures.list_unfinished(session) == []
        assert uploads.count_pending(session, job.project_id) == 0


def test_an_outage_of_the_broker_loses_no_notification(
    begin: UnitOfWork,
    dispatcher_begin: UnitOfWork,
    settings: Settings,
    storage: Storage,
    job: Job,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish = periodic_tasks(settings, dispatcher_begin, lambda task, identifier: False, storage)[-1]
    assert run_once(publish, DispatcherMetrics()) == dispatcher.RETRY_SECONDS
    assert [record.message for record in caplog.records] == ["outbox: notifications wait in the outbox"]
    with begin() as session:
        assert session.scalar(select(func.count()).select_from(OutboxEntry)) == 1


@pytest.mark.parametrize("failing", ["database", "task"])
def test_a_task_that_fails_is_logged_and_retried(
    settings: Settings, storage: Storage, caplog: pytest.LogCaptureFixture, failing: str
) -> None:
    unavailable = unit_of_work(make_engine("postgresql+psycopg://absent@127.0.0.1:1/nothing"))
    tasks = periodic_tasks(settings, unavailable, lambda *message: True, storage)
    task = tasks[0] if failing == "database" else PeriodicTask("broken", 1.0, lambda: 1 / 0)
    assert run_once(task, DispatcherMetrics()) == dispatcher.RETRY_SECONDS
    assert [record.message.partition(":")[0] for record in caplog.records] == [task.name]
    assert run_once(PeriodicTask("whole", 7.0, lambda: None), DispatcherMetrics()) == 7.0


def test_a_task_that_hangs_does_not_delay_another() -> None:
    hangs, stop, runs = threading.Event(), threading.Event(), threading.Semaphore(0)
    tasks = [PeriodicTask("erasures", 0.0, hangs.wait), PeriodicTask("reaper", 0.0, runs.release)]
    threads = [threading.Thread(target=repeat, args=(task, stop, DispatcherMetrics())) for task in tasks]
    for thread in threads:
        thread.start()
    for _ in range(3):
        assert runs.acquire(timeout=60)
    stop.set()
    hangs.set()
    for thread in threads:
        thread.join()


def test_a_job_that_waits_for_too_long_expires(
    begin: UnitOfWork, settings: Settings, storage: Storage, job: Job
) -> None:
    for deadline, state in ((3600.0, State.QUEUED), (1e-6, State.EXPIRED)):
        limited = settings.model_copy(update={"queue_deadline_seconds": deadline})
        for task in periodic_tasks(limited, begin, lambda *message: True, storage):
            run_once(task, DispatcherMetrics())
        with begin() as session:
            assert session.get_one(Job, job.id).state == state
