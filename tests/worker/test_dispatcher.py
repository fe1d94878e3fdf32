"""The dispatcher's chores: they ring for what waits, and an outage costs them a pause."""

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
from worker.dispatcher import Chore, chores, run_if_due


@pytest.fixture
def job(begin: UnitOfWork, project: Project) -> Job:
    """A queued job."""
    with begin() as session:
        return make_job(session, make_subject(session, project.id))


def test_one_round_reaps_rings_and_sweeps(begin: UnitOfWork, settings: Settings, storage: Storage, job: Job) -> None:
    with begin() as session:
        attempts.claim(session, job.id, "a worker that dies", lease_seconds=-1)
        other = make_job(session, make_subject(session, job.project_id))
        erasures.erase_subject(session, job.project_id, other.subject_id)
        uploads.create(session, job.project_id, content_type="image/png", size=1, seconds=-3600)
    outbox.publish(begin, lambda task, identifier: True)
    rung: list[tuple[str, str]] = []
    settled = settings.model_copy(update={"lease_seconds": 0.0})
    for chore in chores(settled, begin, lambda *message: rung.append(message) or True, storage):
        run_if_due(chore)
    assert rung == [("lipe.prior", job.id)]
    with begin() as session:
        assert session.get_one(Job, job.id).state == State.QUEUED
        assert erasures.list_unfinished(session) == []
        assert uploads.count_pending(session, job.project_id) == 0


def test_a_broker_that_is_away_loses_nothing(
    begin: UnitOfWork, settings: Settings, storage: Storage, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    doorbells = chores(settings, begin, lambda task, identifier: False, storage)[-1]
    run_if_due(doorbells)
    run_if_due(doorbells)  # it pauses
    assert [record.message for record in caplog.records] == ["doorbells: doorbells wait in the outbox"]
    with begin() as session:
        assert session.scalar(select(func.count()).select_from(OutboxEntry)) == 1


@pytest.mark.parametrize("failing", ["database", "chore"])
def test_a_chore_that_fails_pauses_and_goes_on(
    settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(dispatcher, "BACKOFF_SECONDS", 0.0)
    cpu_offloaded = unit_of_work(make_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing"))
    work = chores(settings, cpu_offloaded, lambda *message: True, storage)
    chore = work[0] if failing == "database" else Chore("broken", 1.0, lambda: 1 / 0)
    for _ in range(2):
        run_if_due(chore)


def test_a_job_that_waits_for_too_long_expires(
    begin: UnitOfWork, settings: Settings, storage: Storage, job: Job
) -> None:
    for deadline, state in ((3600.0, State.QUEUED), (1e-6, State.EXPIRED)):
        limited = settings.model_copy(update={"queue_deadline_seconds": deadline})
        for chore in chores(limited, begin, lambda *message: True, storage):
            run_if_due(chore)
        with begin() as session:
            assert session.get_one(Job, job.id).state == state
