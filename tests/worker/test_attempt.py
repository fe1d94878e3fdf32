"""An attempt's heartbeat: what it writes, how seldom, and the three words that stop it."""

import time
from collections import Counter
from functools import partial
from threading import Barrier, Event

import pytest
from sqlalchemy import Engine

from ledger import attempts, jobs
from ledger.database import UnitOfWork, autocommit, make_engine
from ledger.models import Job, Project
from ledger.storage import StorageError
from tests.support.rows import make_job, make_subject
from worker.attempt import RENEW_SECONDS, Attempt, Canceled, Draining, Lost


@pytest.fixture
def attempt(engine: Engine, begin: UnitOfWork, project: Project) -> Attempt:
    """An attempt at a fresh job."""
    with begin() as session:
        job = make_job(session, make_subject(session, project.id))
        claim = attempts.claim(session, job.id, "test worker", lease_seconds=60)
    return Attempt(autocommit(engine), claim, 60.0, lambda: False)


def test_progress_is_written_with_its_eta_but_not_at_every_step(begin: UnitOfWork, attempt: Attempt) -> None:
    for step in range(100):
        attempt.report("training", step, 200, loss=0.5)
    assert row(begin, attempt).sequence <= 4  # queued, running, the stage's beginning, and perhaps one more
    time.sleep(RENEW_SECONDS)
    attempt.report("training", 100, 200, loss=0.25)
    progress = row(begin, attempt).progress
    assert (progress["stage"], progress["step"], progress["total"], progress["loss"]) == ("training", 100, 200, 0.25)
    assert progress["eta_seconds"] == pytest.approx(RENEW_SECONDS, abs=0.3)


def test_a_stages_beginning_and_end_are_always_written(begin: UnitOfWork, attempt: Attempt) -> None:
    for stage in ("loading", "training"):
        with attempt.stage(stage):
            attempt.report(stage, 3, 3)
            assert (row(begin, attempt).progress["stage"], row(begin, attempt).progress["step"]) == (stage, 3)
    assert attempt.seconds.keys() == {"loading", "training"}


def test_a_cancel_stops_it(begin: UnitOfWork, attempt: Attempt) -> None:
    with begin() as session:
        jobs.cancel(session, attempt.claim.project_id, attempt.claim.job_id)
    with pytest.raises(Canceled):
        attempt.report("training", 1, 2)


def test_another_attempt_stops_it(begin: UnitOfWork, attempt: Attempt) -> None:
    with begin() as session:
        attempts.release(session, attempt.claim, charge=True)
        attempts.claim(session, attempt.claim.job_id, "another worker", lease_seconds=60)
    with pytest.raises(Lost):
        attempt.report("training", 1, 2)


def test_draining_stops_it_at_the_very_next_step(begin: UnitOfWork, attempt: Attempt) -> None:
    attempt.report("training", 1, 9)
    attempt.draining = lambda: True
    with pytest.raises(Draining):
        attempt.report("training", 2, 9)


def test_it_works_on_while_the_database_is_away(begin: UnitOfWork, attempt: Attempt) -> None:
    look = attempt.look
    attempt.look = autocommit(make_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing"))
    attempt.report("training", 1, 9)
    attempt.report("training", 2, 9)
    attempt.look, attempt._next_renewal = look, 0.0
    attempt.report("training", 3, 9)
    assert row(begin, attempt).progress["step"] == 3


def test_a_storage_outage_is_waited_out_while_the_lease_lives(
    begin: UnitOfWork, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "STORAGE_WAITS", (1, 1))
    failures = [StorageError("away"), StorageError("away")]

    def upload() -> str:
        if failures:
            raise failures.pop()
        return "stored"

    attempt.report("uploading", 0, 2)
    before = row(begin, attempt).lease_until
    assert attempt.retry_storage(upload) == "stored"
    assert row(begin, attempt).lease_until > before


def test_a_storage_outage_that_lasts_is_an_error_and_a_cancel_ends_the_waiting(
    begin: UnitOfWork, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upload() -> None:
        raise StorageError("away")

    monkeypatch.setattr(attempt, "STORAGE_WAITS", (1,))
    with pytest.raises(StorageError):
        attempt.retry_storage(upload)
    monkeypatch.setattr(attempt, "STORAGE_WAITS", (60,))
    with begin() as session:
        jobs.cancel(session, attempt.claim.project_id, attempt.claim.job_id)
    with pytest.raises(Canceled):
        attempt.retry_storage(upload)


def test_storing_goes_on_side_by_side_and_only_what_failed_is_tried_again(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "STORAGE_WAITS", (0, 0))
    together, tried = Barrier(4, timeout=10), Counter[int]()

    def upload(number: int) -> int:
        tried[number] += 1
        if number < 4 and tried[number] == 1:
            together.wait()  # breaks unless the first four are here at once
        if number == 2 and tried[number] < 3:
            raise StorageError("away")
        return number

    assert list(attempt.insist_on_all([partial(upload, number) for number in range(6)])) == list(range(6))
    assert tried == {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 1}


def test_what_cannot_report_is_done_beside_while_the_lease_lives(
    begin: UnitOfWork, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "PATIENCE_SECONDS", 0.05)
    attempt.report("regularizing", 0, 2)
    before = row(begin, attempt).lease_until

    def answer() -> str:
        deadline = time.monotonic() + 10
        while row(begin, attempt).lease_until == before and time.monotonic() < deadline:
            time.sleep(0.05)
        return "renewed" if row(begin, attempt).lease_until > before else "starved"

    assert attempt.beside(answer) == "renewed"
    with pytest.raises(ZeroDivisionError):
        attempt.beside(lambda: 1 / 0)


def test_a_cancel_does_not_wait_for_what_is_done_beside(
    begin: UnitOfWork, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "PATIENCE_SECONDS", 0.05)
    with begin() as session:
        jobs.cancel(session, attempt.claim.project_id, attempt.claim.job_id)
    over = Event()
    with pytest.raises(Canceled):
        attempt.beside(lambda: over.wait(30))
    assert not over.is_set()
    over.set()


def row(begin: UnitOfWork, attempt: Attempt) -> Job:
    with begin() as session:
        return session.get_one(Job, attempt.claim.job_id)
