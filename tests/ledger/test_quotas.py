"""The quotas of queued and running jobs, and the GPU seconds of attempts."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta

import pytest

from ledger import attempts, erasures, outbox, projects, quotas, reaper, usage
from ledger.attempts import Claim
from ledger.database import UnitOfWork, now
from ledger.models import Job, Project, Subject
from ledger.quotas import MARGIN
from ledger.settings import Settings
from ledger.states import State
from tests.support.rows import make_job, make_subject


@pytest.fixture
def narrow(settings: Settings) -> Settings:
    """At most two running jobs for each project."""
    return settings.model_copy(update={"max_running_jobs": 2})


def take(begin: UnitOfWork, job_id: str, settings: Settings) -> Claim | None:
    """Claim the job as a worker does, if there is room."""
    with begin() as session:
        if not quotas.has_room(session, job_id, settings):
            return None
        return attempts.claim(session, job_id, "worker", lease_seconds=60)


def notified(begin: UnitOfWork, settings: Settings) -> list[str]:
    """The jobs of the messages that the dispatcher sends now."""
    with begin() as session:
        reaper.notify_stranded(session, "prior", seconds=60, max_running=settings.max_running_jobs)
        entries = outbox.due(session)
        outbox.mark_published(session, entries)
        return [entry.identifier for entry in entries]


def queued(begin: UnitOfWork, subject: Subject, settings: Settings) -> bool:
    """Queue one more job; return whether it is within the quota."""
    with begin() as session:
        make_job(session, subject)
        status, _ = quotas.of_jobs(session, subject.project_id, settings)
    return not status.is_exceeded


@pytest.mark.parametrize(("free", "waits"), [(1, True), (MARGIN + 1, False)])
def test_submissions_wait_for_each_other_only_near_the_limit(
    begin: UnitOfWork, subject: Subject, settings: Settings, free: int, waits: bool
) -> None:
    bounded = settings.model_copy(update={"max_queued_jobs": free})
    with ThreadPoolExecutor(1) as pool:
        with begin() as session:
            make_job(session, subject)
            assert not quotas.of_jobs(session, subject.project_id, bounded)[0].is_exceeded
            other = pool.submit(queued, begin, subject, bounded)
            assert bool(wait([other], timeout=0.5 if waits else None).not_done) == waits
        assert other.result() == (not waits)


def test_of_many_concurrent_claims_only_the_quota_succeeds(
    begin: UnitOfWork, subject: Subject, narrow: Settings
) -> None:
    with begin() as session:
        waiting = [make_job(session, subject).id for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        claims = [claim for claim in pool.map(lambda job_id: take(begin, job_id, narrow), waiting) if claim]
    assert len(claims) == 2


def test_a_job_gets_a_message_when_there_is_room(begin: UnitOfWork, subject: Subject, narrow: Settings) -> None:
    with begin() as session:
        waiting = [make_job(session, subject).id for _ in range(3)]
    assert notified(begin, narrow) == waiting
    first, second, third = (take(begin, job_id, narrow) for job_id in waiting)
    assert first is not None
    assert second is not None
    assert third is None
    assert notified(begin, narrow) == []  # there is no room
    with begin() as session:
        assert attempts.finish_failed(session, first, "internal_error", "a test", {})
    assert notified(begin, narrow) == [waiting[2]]  # immediately, not after the delay of a lost message
    assert take(begin, waiting[2], narrow) is not None


def test_a_full_project_does_not_delay_others(begin: UnitOfWork, subject: Subject, narrow: Settings) -> None:
    with begin() as session:
        waiting = [make_job(session, subject).id for _ in range(12)]
        other = projects.create(session, "other")
        theirs = make_job(session, make_subject(session, other.id)).id
    notified(begin, narrow)
    for job_id in waiting:
        take(begin, job_id, narrow)
    with begin() as session:
        session.get_one(Job, theirs).notified_at = quotas.LONG_AGO  # its message was lost
    assert notified(begin, narrow) == [theirs]
    assert take(begin, theirs, narrow) is not None


def test_every_attempt_is_charged_once(
    begin: UnitOfWork, project: Project, job: Job, claim: Callable[..., Claim], subject: Subject
) -> None:
    def after(change: Callable[[], object]) -> float:
        before = used(begin, project)
        change()
        return used(begin, project) - before

    def aged(lease_seconds: float = 60) -> Claim:
        taken = claim(job, lease_seconds=lease_seconds)
        with begin() as session:
            session.get_one(Job, job.id).claimed_at = now(session) - timedelta(seconds=100)
        return replace(taken, began=taken.began - 100)

    def release() -> None:
        with begin() as session:
            assert attempts.release(session, drained, charge=False)

    def reap() -> None:
        with begin() as session:
            assert reaper.reap(session, max_attempts=3) == 1

    def erase() -> None:
        with begin() as session:
            assert erasures.erase_subject(session, project.id, subject.id) is not None

    drained = aged()
    assert after(release) == pytest.approx(100, abs=30)
    aged(lease_seconds=-1)
    assert after(reap) == pytest.approx(100, abs=30)
    aged()
    assert after(erase) == pytest.approx(100, abs=30)  # an erasure does not cancel the charge


@pytest.mark.parametrize("jump", [timedelta(hours=2), timedelta(hours=-2)])
def test_a_jump_of_the_clock_changes_no_charge(
    begin: UnitOfWork, project: Project, job: Job, claim: Callable[..., Claim], jump: timedelta
) -> None:
    """The worker measures by its monotonic clock. A reaper, which cannot, never charges less than nothing."""
    taken = replace(claim(job), began=time.monotonic() - 100)
    with begin() as session:
        session.get_one(Job, job.id).claimed_at = now(session) - jump
    with begin() as session:
        assert attempts.release(session, taken, charge=False)
    assert used(begin, project) == pytest.approx(100, abs=30)
    claim(job, lease_seconds=-1)
    with begin() as session:
        session.get_one(Job, job.id).claimed_at = now(session) + timedelta(hours=2)
    with begin() as session:
        assert reaper.reap(session, max_attempts=3) == 1
    assert used(begin, project) == pytest.approx(100, abs=30)


def test_a_job_with_a_lease_of_another_clock_is_reaped(
    begin: UnitOfWork, job: Job, claim: Callable[..., Claim]
) -> None:
    """Its worker died before the clock was set back by two hours."""
    claim(job, lease_seconds=7260)
    with begin() as session:
        assert reaper.reap(session, max_attempts=3) == 0
        assert reaper.reap(session, max_attempts=3, max_lease_seconds=300) == 1
        assert session.get_one(Job, job.id).state == State.QUEUED


def used(begin: UnitOfWork, project: Project) -> float:
    """The GPU seconds of the project today."""
    with begin() as session:
        return session.scalar(usage.of_today(project.id)) or 0.0
