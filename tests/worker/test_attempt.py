"""An attempt's progress reports: their content, their frequency, and the three exceptions that stop a job."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier, Event
from typing import Any

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
from worker.attempt import RENEW_SECONDS, Attempt, Canceled, ClaimLost, Draining, GivingWay, OverTime

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
def silent(engine: Engine, begin: UnitOfWork, project: Project, clock: Clock) -> Attempt:
    """An attempt at a new job, without the thread that writes."""
    with begin() as session:
        job = make_job(session, make_subject(session, project.id))
        claim = attempts.claim(session, job.id, "test worker", lease_seconds=60)
    assert claim is not None
    return Attempt(autocommit(engine), claim, 60.0, lambda: False, clock=clock)


@pytest.fixture
def attempt(silent: Attempt, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attempt]:
    """An attempt at a new job, whose lease is kept."""
    monkeypatch.setattr("worker.attempt.POLL_SECONDS", 0.05)
    with silent.lease_kept(NEVER, pytest.fail):
        yield silent


@pytest.fixture
def real_time(silent: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt uses the real clock and writes often."""
    silent.clock = time.monotonic
    monkeypatch.setattr("worker.attempt.RENEW_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("worker.attempt.POLL_SECONDS", 0.05)


def test_progress_is_written_with_its_eta_but_not_at_every_step(
    begin: UnitOfWork, attempt: Attempt, clock: Clock
) -> None:
    for step in range(100):
        attempt.report("training", step, 200, loss=0.5)
    eventually(lambda: row(begin, attempt).newest_number == 3)  # queued, running, the stage's beginning
    clock.now += RENEW_SECONDS[0]
    attempt.report("training", 100, 200, loss=0.25)
    eventually(lambda: row(begin, attempt).newest_number == 4)
    assert progress(begin, attempt) == {
        "stage": "training", "step": 100, "total": 200, "loss": 0.25, "eta_seconds": RENEW_SECONDS[0],
    }  # fmt: skip


def test_a_long_attempt_renews_its_lease_less_often(begin: UnitOfWork, attempt: Attempt, clock: Clock) -> None:
    def written(after: float) -> bool:
        before = row(begin, attempt).newest_number
        clock.now += after
        attempt.report("training", 2, 9)
        with suppress(TimeoutError, AssertionError):
            eventually(lambda: row(begin, attempt).newest_number > before, 0.5)
        return row(begin, attempt).newest_number > before

    attempt.report("training", 1, 9)
    eventually(lambda: row(begin, attempt).newest_number == 3)
    assert written(1000.0)
    shortest, longest = RENEW_SECONDS
    assert not written(shortest)
    assert written(longest)


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
            eventually(partial(has_written, begin, attempt, stage, 3))
            clock.now += 2.0
    assert attempt.seconds == {"loading": 2.0, "training": 2.0}


def test_a_cancel_stops_it(begin: UnitOfWork, attempt: Attempt) -> None:
    cancel(begin, attempt)
    with pytest.raises(Canceled):
        report_until_stopped(attempt)


def test_another_attempt_stops_it(begin: UnitOfWork, attempt: Attempt) -> None:
    with begin() as session:
        attempts.release(session, attempt.claim, charge=True)
        attempts.claim(session, attempt.claim.job_id, "another worker", lease_seconds=60)
    with pytest.raises(ClaimLost):
        report_until_stopped(attempt)


def test_a_short_job_that_waits_stops_it(attempt: Attempt) -> None:
    attempt.gives_way = lambda connection: True
    with pytest.raises(GivingWay):
        report_until_stopped(attempt)
    assert attempt.has_given_way


def test_draining_stops_it_at_the_next_step(begin: UnitOfWork, attempt: Attempt) -> None:
    attempt.report("training", 1, 9)
    attempt.draining = lambda: True
    with pytest.raises(Draining):
        attempt.report("training", 2, 9)


def test_it_goes_on_while_the_database_does_not_answer_and_still_drains(attempt: Attempt) -> None:
    answers = Event()

    def silence() -> AbstractContextManager[Connection]:
        assert answers.wait(timeout=60)
        return NO_DATABASE()

    attempt.autocommit = silence
    for step in range(9):
        attempt.report("training", step, 9)
    attempt.draining = lambda: True
    with pytest.raises(Draining):
        attempt.report("training", 9, 9)
    answers.set()


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
@pytest.mark.slow
def test_the_lease_is_kept_while_the_engine_is_silent_for_three_lease_times(begin: UnitOfWork, silent: Attempt) -> None:
    silent.lease_seconds = 2.0
    silent.report("editing", 4, 9)
    first = lease(begin, silent)
    with silent.lease_kept(NEVER, pytest.fail):
        eventually(lambda: lease(begin, silent) > first + timedelta(seconds=3 * silent.lease_seconds))
        silent.report("editing", 5, 9)
        eventually(partial(has_written, begin, silent, "editing", 5))


@pytest.mark.usefixtures("real_time")
def test_the_next_report_raises_what_the_leases_thread_was_answered(begin: UnitOfWork, silent: Attempt) -> None:
    silent.report("editing", 4, 9)
    with silent.lease_kept(NEVER, pytest.fail):
        cancel(begin, silent)
        eventually(lambda: silent._control is Control.CANCEL)
        silent.autocommit = NO_DATABASE
        for report in (partial(silent.report, "editing", 5, 9), silent.renew_lease):
            with pytest.raises(Canceled):
                report()


@pytest.mark.usefixtures("real_time")
def test_a_canceled_job_whose_engine_is_silent_loses_its_lease(begin: UnitOfWork, silent: Attempt) -> None:
    silent.report("editing", 4, 9)
    with silent.lease_kept(NEVER, pytest.fail):
        cancel(begin, silent)
        eventually(lambda: silent._control is Control.CANCEL)
        before = lease(begin, silent)
        time.sleep(0.5)  # ten times the thread's interval
        assert lease(begin, silent) == before


@pytest.mark.usefixtures("real_time")
def test_the_leases_thread_survives_an_outage_of_the_database_and_logs_it_once(
    begin: UnitOfWork, silent: Attempt, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("worker.attempt.DATABASE_RETRY_SECONDS", 0.0)
    available, tries = silent.autocommit, Counter[str]()

    def absent() -> AbstractContextManager[Connection]:
        tries["failed"] += 1
        return NO_DATABASE()

    silent.report("editing", 4, 9)
    with silent.lease_kept(NEVER, pytest.fail):
        silent.autocommit = absent
        eventually(lambda: tries["failed"] > 2)
        before = lease(begin, silent)
        silent.autocommit = available
        eventually(lambda: lease(begin, silent) > before)
    assert [record.levelname for record in caplog.records if record.name == "worker.attempt"] == ["WARNING"]


@pytest.mark.usefixtures("real_time")
def test_a_stuck_engine_is_noticed_with_its_stage_and_its_lease_is_not_renewed(
    begin: UnitOfWork, silent: Attempt
) -> None:
    reasons = list[str]()
    silent.report("captioning", 1, 3)
    with silent.lease_kept(0.5, reasons.append):
        eventually(lambda: bool(reasons))
        before = lease(begin, silent)
        time.sleep(0.5)
    assert reasons == ['no progress for 0.5 s in "captioning"']
    assert lease(begin, silent) == before


@pytest.mark.usefixtures("real_time")
def test_the_leases_thread_ends_with_the_attempt(silent: Attempt) -> None:
    def drain() -> None:
        with silent.lease_kept(NEVER, pytest.fail):
            assert "lease" in {thread.name for thread in threading.enumerate()}
            silent.draining = lambda: True
            silent.report("editing", 5, 9)

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
    found = row(begin, attempt).lease
    assert found is not None
    return found.until


def progress(begin: UnitOfWork, attempt: Attempt) -> dict[str, Any]:
    """The newest progress."""
    return row(begin, attempt).latest_progress[1]


def has_written(begin: UnitOfWork, attempt: Attempt, stage: str, step: int) -> bool:
    """Whether this is the newest progress."""
    found = progress(begin, attempt)
    return (found.get("stage"), found.get("step")) == (stage, step)


def report_until_stopped(attempt: Attempt) -> None:
    """Report again and again, as an engine does. Raises what `report` raises."""
    for _ in range(6000):
        attempt.report("training", 1, 2)
        time.sleep(0.01)
    pytest.fail("no report raised an exception")
