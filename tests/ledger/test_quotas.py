"""The quotas of queued and running jobs, and the GPU seconds of attempts."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta

import pytest

from ledger import attempts, claims, erasures, projects, quotas, reaper, usage
from ledger.attempts import Claim
from ledger.claims import Abilities
from ledger.database import UnitOfWork, now
from ledger.models import Job, Project, Subject
from ledger.quotas import MARGIN
from ledger.settings import Settings
from ledger.states import State
from tests.support.rows import make_job, make_subject


def take(begin: UnitOfWork) -> Claim | None:
    """Claim a job as a worker does, where a project may run two."""
    with begin() as session:
        return claims.claim_next(session, Abilities(["prior"]), "worker", lease_seconds=60, max_running=2)


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


def test_of_many_concurrent_claims_only_the_quota_succeeds(begin: UnitOfWork, subject: Subject) -> None:
    with begin() as session:
        for _ in range(8):
            make_job(session, subject)
    with ThreadPoolExecutor(8) as pool:
        taken = [claim for claim in pool.map(lambda _: take(begin), range(8)) if claim]
    assert len(taken) == len({claim.job_id for claim in taken}) == 2


def test_a_job_is_claimed_when_there_is_room(begin: UnitOfWork, subject: Subject) -> None:
    with begin() as session:
        waiting = [make_job(session, subject).id for _ in range(3)]
    first, second = take(begin), take(begin)
    assert first is not None
    assert second is not None
    assert take(begin) is None
    with begin() as session:
        assert attempts.finish_failed(session, first, "internal_error", "a test", {})
    third = take(begin)
    assert third is not None
    assert {first.job_id, second.job_id, third.job_id} == set(waiting)


def test_a_full_project_does_not_delay_others(begin: UnitOfWork, subject: Subject) -> None:
    with begin() as session:
        for _ in range(12):
            make_job(session, subject)
    assert [take(begin) is not None for _ in range(3)] == [True, True, False]
    with begin() as session:
        other = projects.create(session, "other")
        theirs = make_job(session, make_subject(session, other.id)).id
    claim = take(begin)
    assert claim is not None
    assert claim.job_id == theirs


def test_a_project_may_have_quotas_of_its_own(begin: UnitOfWork, subject: Subject, settings: Settings) -> None:
    with begin() as session:
        project = session.get_one(Project, subject.project_id)
        project.max_running_jobs, project.max_queued_jobs, project.max_gpu_seconds_per_day = 3, 4, 50
        for _ in range(4):
            make_job(session, subject)
        queue, gpu = quotas.of_jobs(session, subject.project_id, settings)
        assert (queue.quota, queue.is_exceeded, gpu.quota) == (4, False, 50)
        make_job(session, subject)
        assert quotas.of_jobs(session, subject.project_id, settings)[0].is_exceeded
    assert [take(begin) is not None for _ in range(4)] == [True, True, True, False]


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
