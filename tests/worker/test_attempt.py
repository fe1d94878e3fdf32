"""An attempt's progress reports: their content, their frequency, and the three exceptions that stop a job."""

import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier, Event

import pytest
from psycopg import Connection
from sqlalchemy import Engine

from ledger import attempts, jobs
from ledger.attempts import Control
from ledger.database import UnitOfWork, autocommit, make_engine
from ledger.models import Job, Project
from ledger.storage import StorageError
from tests.support.rows import make_job, make_subject
from tests.support.waiting import eventually
from worker.attempt import RENEW_SECONDS, Attempt, Canceled, ClaimLost, Draining, OverTime

NEVER = 1e6
NO_DATABASE = autocommit(make_engine("postgresql+psycopg://absent@127.0.0.1:1/nothing"))


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The attempt's clock."""
    return Clock()


@pytest.fixture
def attempt(engine: Engine, begin: UnitOfWork, project: Project, clock: Clock) -> Attempt:
    """An attempt at a new job."""
    with begin() as session:
        job = make_job(session, make_subject(session, project.id))
        claim = attempts.claim(session, job.id, "test worker", lease_seconds=60)
    assert claim is not None
    return Attempt(autocommit(engine), claim, 60.0, lambda: False, clock=clock)


@pytest.fixture
def real_time(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt uses the real clock and reports often."""
    attempt.clock = time.monotonic
    monkeypatch.setattr("worker.attempt.RENEW_SECONDS", 0.0)
    monkeypatch.setattr("worker.attempt.POLL_SECONDS", 0.05)


def test_progress_is_written_with_its_eta_but_not_at_every_step(
    begin: UnitOfWork, attempt: Attempt, clock: Clock
) -> None:
    for step in range(100):
        attempt.report("training", step, 200, loss=0.5)
    assert row(begin, attempt).sequence == 3  # queued, running, the stage's beginning
    clock.now += RENEW_SECONDS
    attempt.report("training", 100, 200, loss=0.25)
    assert row(begin, attempt).progress == {
        "stage": "training", "step": 100, "total": 200, "loss": 0.25, "eta_seconds": RENEW_SECONDS,
    }  # fmt: skip


def test_an_attempt_ends_at_its_ceiling_however_often_it_reports(attempt: Attempt, clock: Clock) -> None:
    attempt.max_seconds = 100.0
    for _ in range(4):
        clock.now += 25.0
        attempt.report("training", 1, 9)
    clock.now += 1.0
    with pytest.raises(OverTime, match="longer than 100 seconds"):
        attempt.report("training", 2, 9)


def test_a_stages_beginning_and_end_are_always_written(begin: UnitOfWork, attempt: Attempt, clock: Clock) -> None:
    for stage in ("loading", "training"):
        with attempt.stage(stage):
            attempt.report(stage, 3, 3)
            assert (row(begin, attempt).progress["stage"], row(begin, attempt).progress["step"]) == (stage, 3)
            clock.now += 2.0
    assert attempt.seconds == {"loading": 2.0, "training": 2.0}
    attempt.report("training", 3, 3)  # RENEW_SECONDS have passed
    written = row(begin, attempt).sequence
    attempt.report("training", 3, 3)
    assert row(begin, attempt).sequence == written


def test_a_cancel_stops_it(begin: UnitOfWork, attempt: Attempt) -> None:
    cancel(begin, attempt)
    with pytest.raises(Canceled):
        attempt.report("training", 1, 2)


def test_another_attempt_stops_it(begin: UnitOfWork, attempt: Attempt) -> None:
    with begin() as session:
        attempts.release(session, attempt.claim, charge=True)
        attempts.claim(session, attempt.claim.job_id, "another worker", lease_seconds=60)
    with pytest.raises(ClaimLost):
        attempt.report("training", 1, 2)


def test_draining_stops_it_at_the_next_step(begin: UnitOfWork, attempt: Attempt) -> None:
    attempt.report("training", 1, 9)
    attempt.draining = lambda: True
    with pytest.raises(Draining):
        attempt.report("training", 2, 9)


def test_it_continues_while_the_database_is_unavailable(begin: UnitOfWork, attempt: Attempt) -> None:
    available = attempt.autocommit
    attempt.autocommit = NO_DATABASE
    attempt.report("training", 1, 9)
    attempt.report("training", 2, 9)
    attempt.autocommit, attempt._next_renewal = available, 0.0
    attempt.report("training", 3, 9)
    assert row(begin, attempt).progress["step"] == 3


@pytest.mark.usefixtures("real_time")
def test_a_storage_operation_is_retried_during_an_outage_and_the_lease_is_kept(
    begin: UnitOfWork, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.attempt.STORAGE_RETRY_SECONDS", (1, 1))
    failures = [StorageError("unavailable"), StorageError("unavailable")]

    def upload() -> str:
        if failures:
            raise failures.pop()
        return "stored"

    attempt.report("uploading", 0, 2)
    before = lease(begin, attempt)
    assert attempt.retry_storage(upload) == "stored"
    assert lease(begin, attempt) > before


@pytest.mark.usefixtures("real_time")
def test_a_long_storage_outage_is_an_error_and_a_cancel_ends_the_retries(
    begin: UnitOfWork, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upload() -> None:
        raise StorageError("unavailable")

    monkeypatch.setattr("worker.attempt.STORAGE_RETRY_SECONDS", (1,))
    with pytest.raises(StorageError):
        attempt.retry_storage(upload)
    monkeypatch.setattr("worker.attempt.STORAGE_RETRY_SECONDS", (60,))
    cancel(begin, attempt)
    with pytest.raises(Canceled):
        attempt.retry_storage(upload)


@pytest.mark.usefixtures("real_time")
def test_four_uploads_run_at_once_and_only_those_that_failed_are_retried(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.attempt.STORAGE_RETRY_SECONDS", (0, 0))
    first_four, tries = Barrier(4, timeout=60), Counter[int]()

    def upload(number: int) -> int:
        tries[number] += 1
        if number < 4 and tries[number] == 1:
            first_four.wait()  # breaks unless the first four run at the same time
        if number == 2 and tries[number] < 3:
            raise StorageError("unavailable")
        return number

    assert list(attempt.retry_storage_all([partial(upload, number) for number in range(6)])) == list(range(6))
    assert tries == {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 1}


@pytest.mark.usefixtures("real_time")
def test_the_lease_is_kept_while_an_operation_runs_in_a_thread(begin: UnitOfWork, attempt: Attempt) -> None:
    attempt.report("regularizing", 0, 2)
    before = lease(begin, attempt)

    def operation() -> str:
        eventually(lambda: lease(begin, attempt) > before)
        return "renewed"

    assert attempt.run_in_thread(operation) == "renewed"
    with pytest.raises(ZeroDivisionError):
        attempt.run_in_thread(lambda: 1 / 0)


@pytest.mark.usefixtures("real_time")
def test_a_cancel_does_not_wait_for_an_operation_in_a_thread(begin: UnitOfWork, attempt: Attempt) -> None:
    cancel(begin, attempt)
    over = Event()
    with pytest.raises(Canceled):
        attempt.run_in_thread(over.wait)  # without an end: a caller that waited for it would hang
    assert not over.is_set()
    over.set()


@pytest.mark.usefixtures("real_time")
def test_the_lease_is_kept_while_the_engine_is_silent_for_three_lease_times(
    begin: UnitOfWork, attempt: Attempt
) -> None:
    attempt.lease_seconds = 2.0
    attempt.report("editing", 4, 9)
    first = lease(begin, attempt)
    with attempt.lease_kept(NEVER, pytest.fail):
        eventually(lambda: lease(begin, attempt) > first + timedelta(seconds=3 * attempt.lease_seconds))
        attempt.report("editing", 5, 9)
    assert row(begin, attempt).progress["step"] == 5


@pytest.mark.usefixtures("real_time")
def test_the_next_report_raises_what_the_leases_thread_was_answered(begin: UnitOfWork, attempt: Attempt) -> None:
    attempt.report("editing", 4, 9)
    with attempt.lease_kept(NEVER, pytest.fail):
        cancel(begin, attempt)
        eventually(lambda: attempt._control is Control.CANCEL)
        attempt.autocommit = NO_DATABASE
        for report in (partial(attempt.report, "editing", 5, 9), attempt.renew_lease):
            with pytest.raises(Canceled):
                report()


@pytest.mark.usefixtures("real_time")
def test_a_canceled_job_whose_engine_is_silent_loses_its_lease(begin: UnitOfWork, attempt: Attempt) -> None:
    attempt.report("editing", 4, 9)
    with attempt.lease_kept(NEVER, pytest.fail):
        cancel(begin, attempt)
        eventually(lambda: attempt._control is Control.CANCEL)
        before = lease(begin, attempt)
        time.sleep(0.5)  # ten times the thread's interval
        assert lease(begin, attempt) == before


@pytest.mark.usefixtures("real_time")
def test_the_leases_thread_survives_an_outage_of_the_database_and_logs_it_once(
    begin: UnitOfWork, attempt: Attempt, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("worker.attempt.DATABASE_RETRY_SECONDS", 0.0)
    available, tries = attempt.autocommit, Counter[str]()

    def absent() -> AbstractContextManager[Connection]:
        tries["failed"] += 1
        return NO_DATABASE()

    attempt.report("editing", 4, 9)
    with attempt.lease_kept(NEVER, pytest.fail):
        attempt.autocommit = absent
        eventually(lambda: tries["failed"] > 2)
        before = lease(begin, attempt)
        attempt.autocommit = available
        eventually(lambda: lease(begin, attempt) > before)
    assert [record.levelname for record in caplog.records if record.name == "worker.attempt"] == ["WARNING"]


@pytest.mark.usefixtures("real_time")
def test_a_stuck_engine_is_noticed_with_its_stage_and_its_lease_is_not_renewed(
    begin: UnitOfWork, attempt: Attempt
) -> None:
    reasons = list[str]()
    attempt.report("captioning", 1, 3)
    with attempt.lease_kept(0.5, reasons.append):
        eventually(lambda: bool(reasons))
        before = lease(begin, attempt)
        time.sleep(0.5)
    assert reasons == ['no progress for 0.5 s in "captioning"']
    assert lease(begin, attempt) == before


@pytest.mark.usefixtures("real_time")
def test_the_leases_thread_ends_with_the_attempt(attempt: Attempt) -> None:
    def drain() -> None:
        with attempt.lease_kept(NEVER, pytest.fail):
            assert "lease" in {thread.name for thread in threading.enumerate()}
            attempt.draining = lambda: True
            attempt.report("editing", 5, 9)

    with pytest.raises(Draining):
        drain()
    assert "lease" not in {thread.name for thread in threading.enumerate()}


def cancel(begin: UnitOfWork, attempt: Attempt) -> None:
    with begin() as session:
        jobs.cancel(session, attempt.claim.project_id, attempt.claim.job_id)


def row(begin: UnitOfWork, attempt: Attempt) -> Job:
    with begin() as session:
        return session.get_one(Job, attempt.claim.job_id)


def lease(begin: UnitOfWork, attempt: Attempt) -> datetime:
    """The end of the attempt's lease."""
    until = row(begin, attempt).lease_until
    assert until is not None
    return until
