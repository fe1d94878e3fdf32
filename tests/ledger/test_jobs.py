"""The job state machine: one effective attempt, final states, one terminal event, no lost job."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from ledger import artefacts, attempts, events, jobs, outbox, partial_results, reaper, retries
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim, Control, Progress
from ledger.database import UnitOfWork
from ledger.models import Delivery, Event, Job, OutboxEntry, Prior, Project, Subject
from ledger.pages import Window
from ledger.partial_results import PartialResults
from ledger.states import TERMINAL, TRANSITIONS, IllegalTransition, State, check
from ledger.storage import Storage, StoredObject
from tests.support.rows import make_job

Claiming = Callable[..., Claim]
ADAPTER = [NewArtefact("adapter", "adapter.safetensors", "application/octet-stream", StoredObject("key", 3, "a" * 64))]
ENDS: dict[str, Callable[..., Any]] = {
    "finish": lambda session, claim: attempts.finish(
        session, claim, ADAPTER, resolved={}, metrics={}, manifest={"x": 1}
    ),
    "finish_failed": lambda session, claim: attempts.finish_failed(session, claim, "invalid_request", "no", {}),
    "finish_canceled": attempts.finish_canceled,
    "release": lambda session, claim: attempts.release(session, claim, charge=False),
}


def test_exactly_one_of_many_workers_gets_the_job(begin: UnitOfWork, job: Job) -> None:
    start, claims = threading.Barrier(8), []

    def race(worker: str) -> None:
        start.wait()
        with begin() as session:
            claims.append(attempts.claim(session, job.id, worker, lease_seconds=60))

    threads = [threading.Thread(target=race, args=(f"worker {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claim is not None for claim in claims) == [False] * 7 + [True]
    assert (current(begin, job).epoch, current(begin, job).attempt) == (1, 1)


def test_partial_results_pass_to_the_next_attempt_and_leave_with_the_end(
    begin: UnitOfWork, storage: Storage, job: Job, claim: Claiming
) -> None:
    partial = PartialResults({"seeds": [7]}, {2: ADAPTER, 1: [replace(ADAPTER[0], details={"seed": 7})]})
    old = claim(job)
    with begin() as session:
        assert attempts.keep(session, old, partial, storage)
    assert end(begin, old, "release")
    new = claim(job)
    with begin() as session:
        assert not attempts.keep(session, old, PartialResults({}, {}), storage)
        assert artefacts.of_job(session, job.project_id, job.id) == []
    assert partial_results.read(current(begin, job)) == partial
    assert partial_results.keys(current(begin, job)) == {"key"}
    assert end(begin, new, "finish_failed")
    assert partial_results.read(current(begin, job)) is None
    assert partial_results.keys(current(begin, job)) == set()


def test_a_finished_job_has_its_artefacts_its_prior_and_one_terminal_event(
    begin: UnitOfWork, job: Job, claim: Claiming
) -> None:
    attempt = claim(job)
    assert end(begin, attempt, "finish")
    with begin() as session:
        assert [artefact.sha256 for artefact in artefacts.of_job(session, job.project_id, job.id)] == ["a" * 64]
        prior = session.get_one(Prior, job.prior_id)
    assert prior.ready_at is not None
    assert (prior.adapter_sha256, prior.manifest) == ("a" * 64, {"x": 1})
    assert types(begin, job) == ["prior.queued", "prior.running", "prior.succeeded"]


@pytest.mark.parametrize("late", ENDS)
def test_a_lost_attempt_can_write_nothing(begin: UnitOfWork, job: Job, claim: Claiming, late: str) -> None:
    lost = claim(job, lease_seconds=-1)
    assert reap(begin) == 1
    successor = claim(job)
    before = types(begin, job)
    assert not end(begin, lost, late)
    assert renew(begin, lost) is Control.LOST
    assert (types(begin, job), current(begin, job).state) == (before, State.RUNNING)
    assert renew(begin, successor) is Control.GO_ON
    assert end(begin, successor, "finish")


@pytest.mark.parametrize("late", ENDS)
def test_a_terminal_state_is_final(begin: UnitOfWork, job: Job, claim: Claiming, late: str) -> None:
    attempt = claim(job)
    assert end(begin, attempt, "finish_failed")
    assert not end(begin, attempt, late)
    cancel(begin, job)
    assert reap(begin) == 0
    assert current(begin, job).state == State.FAILED
    assert types(begin, job).count("prior.failed") == 1


def test_a_queued_job_is_canceled_at_once(begin: UnitOfWork, job: Job) -> None:
    assert cancel(begin, job).state == State.CANCELED
    with begin() as session:
        assert attempts.claim(session, job.id, "late", lease_seconds=60) is None


def test_a_running_job_is_canceled_at_its_next_renewal(begin: UnitOfWork, job: Job, claim: Claiming) -> None:
    attempt = claim(job)
    assert cancel(begin, job).state == State.RUNNING
    assert renew(begin, attempt) is Control.CANCEL
    assert not end(begin, attempt, "finish")  # no success after an accepted cancel
    assert end(begin, attempt, "finish_canceled")
    assert types(begin, job) == ["prior.queued", "prior.running", "prior.canceled"]


@pytest.mark.parametrize("ending", ["release", "reap"])
def test_a_canceled_job_whose_worker_leaves_does_not_run_again(
    begin: UnitOfWork, job: Job, claim: Claiming, ending: str
) -> None:
    attempt = claim(job, lease_seconds=-1)
    cancel(begin, job)
    assert reap(begin) if ending == "reap" else end(begin, attempt, "release")
    assert current(begin, job).state == State.CANCELED


def test_only_the_user_cancels(begin: UnitOfWork, job: Job, claim: Claiming) -> None:
    assert not end(begin, claim(job), "finish_canceled")


def test_a_job_that_loses_three_workers_fails(begin: UnitOfWork, job: Job, claim: Claiming) -> None:
    for _ in range(3):
        assert current(begin, job).state == State.QUEUED
        claim(job, lease_seconds=-1)
        reap(begin)
    failed = current(begin, job)
    assert (failed.state, failed.error_code, failed.attempt, failed.epoch) == (State.FAILED, "worker_lost", 3, 3)


def test_a_drained_attempt_is_not_charged_but_fenced(begin: UnitOfWork, job: Job, claim: Claiming) -> None:
    drained = claim(job)
    assert end(begin, drained, "release")
    released = current(begin, job)
    assert (released.state, released.attempt, released.epoch) == (State.QUEUED, 0, 1)
    assert claim(job).epoch == 2
    assert renew(begin, drained) is Control.LOST


def test_a_renewed_lease_is_not_reaped(begin: UnitOfWork, job: Job, claim: Claiming) -> None:
    attempt = claim(job, lease_seconds=-1)
    assert renew(begin, attempt) is Control.GO_ON
    assert reap(begin) == 0


def test_progress_takes_its_place_among_the_events(begin: UnitOfWork, job: Job, claim: Claiming) -> None:
    attempt = claim(job)
    for step in (1, 2):
        renew(begin, attempt, step)
    with begin() as session:
        seen = jobs.events_after(session, current(begin, job), events.after(session, job.project_id, job.id, 0), 0)
    assert [(event.sequence, event.type) for event in seen] == [
        (1, "prior.queued"), (2, "prior.running"), (4, "prior.progress"),
    ]  # fmt: skip
    assert seen[-1].data == {"stage": "training", "step": 2, "total": 9, "loss": 0.5}
    end(begin, attempt, "finish")
    assert current(begin, job).sequence == 5


def test_the_database_itself_refuses_a_second_terminal_event(begin: UnitOfWork, job: Job) -> None:
    cancel(begin, job)
    with pytest.raises(IntegrityError, match="uq_events_job_id_terminal"), begin() as session:
        session.add(
            Event(project_id=job.project_id, job_id=job.id, sequence=99, type="prior.failed", data={}, terminal=True)
        )


def test_submitting_and_requeueing_write_a_message(begin: UnitOfWork, job: Job, claim: Claiming) -> None:
    assert take_outbox(begin) == [("lipe.prior", job.id)]
    end(begin, claim(job), "release")
    assert take_outbox(begin) == [("lipe.prior", job.id)]


def test_a_rolled_back_submit_leaves_nothing(begin: UnitOfWork, subject: Subject) -> None:
    def submit_and_die() -> None:
        with begin() as session:
            make_job(session, subject)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        submit_and_die()
    with begin() as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (Job, Event, OutboxEntry)]
    assert counts == [0, 0, 0]


def test_the_terminal_event_creates_one_delivery_with_its_data(
    begin: UnitOfWork, subject: Subject, claim: Claiming
) -> None:
    with begin() as session:
        job = make_job(session, subject, webhook_url="https://example.com/hook")
    end(begin, claim(job), "finish_failed")
    with begin() as session:
        deliveries = list(session.scalars(select(Delivery)))
    assert [(delivery.event_type, delivery.url) for delivery in deliveries] == [
        ("prior.failed", "https://example.com/hook")
    ]
    for part in (job.id.encode(), b'"code":"invalid_request"', b'"metadata":{"order":"7"}'):
        assert part in deliveries[0].body


def test_another_project_sees_and_cancels_nothing(begin: UnitOfWork, job: Job) -> None:
    with begin() as session:
        assert jobs.get(session, "prj_other", job.id) is None
        assert jobs.cancel(session, "prj_other", job.id) is None
        assert jobs.listing(session, "prj_other").rows == []
        assert events.after(session, "prj_other", job.id, 0) == []
    assert current(begin, job).state == State.QUEUED


def test_pages_go_through_all_jobs_newest_first(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    submitted = []
    for _ in range(5):
        with begin() as session:
            submitted.append(make_job(session, subject).id)
    seen, cursor = [], None
    with begin() as session:
        while True:
            page = jobs.listing(session, project.id, Window(2, cursor))
            seen += [job.id for job in page.rows]
            if not page.has_more:
                break
            cursor = page.next
    assert seen == submitted[::-1]


def test_a_job_that_waits_for_too_long_expires(begin: UnitOfWork, subject: Subject, claim: Claiming) -> None:
    hook = "https://example.com/hook"
    with begin() as session:
        late, running, fresh = (make_job(session, subject, webhook_url=hook) for _ in range(3))
    attempt = claim(running)
    with begin() as session:
        an_hour_ago = func.clock_timestamp() - timedelta(hours=1)
        old = update(Job).where(Job.id.in_([late.id, running.id])).values(created_at=an_hour_ago, queued_at=an_hour_ago)
        session.execute(old)
    assert expire(begin) == 1
    assert expire(begin) == 0
    assert (types(begin, late), types(begin, fresh)) == (["prior.queued", "prior.expired"], ["prior.queued"])
    assert current(begin, late).finished_at is not None
    with begin() as session:
        assert session.scalars(select(Delivery.event_type)).all() == ["prior.expired"]
        assert attempts.claim(session, late.id, "late", lease_seconds=60) is None
        assert retries.retry(session, late.project_id, late.id)
    end(begin, attempt, "release")
    assert expire(begin) == 0  # the time in the queue starts again


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_follows_a_terminal_state(state: State) -> None:
    for following in State:
        with pytest.raises(IllegalTransition):
            check(state, following)


def test_every_state_can_be_reached() -> None:
    reached = {following for states in TRANSITIONS.values() for following in states}
    assert reached == set(State)
    assert {State.SUCCEEDED, State.FAILED, State.CANCELED, State.EXPIRED} == TERMINAL


def current(begin: UnitOfWork, job: Job) -> Job:
    with begin() as session:
        return session.get_one(Job, job.id)


def types(begin: UnitOfWork, job: Job) -> list[str]:
    with begin() as session:
        return [event.type for event in events.after(session, job.project_id, job.id, 0)]


def end(begin: UnitOfWork, claim: Claim, how: str) -> bool:
    with begin() as session:
        return bool(ENDS[how](session, claim))


def cancel(begin: UnitOfWork, job: Job) -> Job:
    with begin() as session:
        canceled = jobs.cancel(session, job.project_id, job.id)
    assert canceled is not None
    return canceled


def renew(begin: UnitOfWork, claim: Claim, step: int = 1) -> Control:
    with begin() as session:
        return attempts.renew(session, claim, Progress("training", step, 9, {"loss": 0.5}), lease_seconds=60)


def reap(begin: UnitOfWork) -> int:
    with begin() as session:
        return reaper.reap(session, max_attempts=3)


def expire(begin: UnitOfWork) -> int:
    with begin() as session:
        return reaper.expire(session, deadline_seconds=60)


def take_outbox(begin: UnitOfWork) -> list[tuple[str, str]]:
    """Publish the outbox; return the messages."""
    messages: list[tuple[str, str]] = []

    def notify(task: str, identifier: str) -> bool:
        messages.append((task, identifier))
        return True

    outbox.publish(begin, notify)
    return messages
