"""How many jobs of a project may run, and what their seconds come to."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta

import pytest

from ledger import attempts, erasures, outbox, projects, quotas, reaper, usage
from ledger.attempts import Claim
from ledger.database import UnitOfWork, now
from ledger.jobs import Job
from ledger.projects import Project
from ledger.quotas import MARGIN
from ledger.settings import Settings
from ledger.subjects import Subject
from tests.support.rows import make_job, make_subject


@pytest.fixture
def narrow(settings: Settings) -> Settings:
    """Two jobs of a project at once."""
    return settings.model_copy(update={"max_running_jobs": 2})


def take(begin: UnitOfWork, job_id: str, settings: Settings) -> Claim | None:
    """What a worker does at a doorbell."""
    with begin() as session:
        if not quotas.has_room(session, job_id, settings):
            return None
        return attempts.claim(session, job_id, "worker", lease_seconds=60)


def rung(begin: UnitOfWork, settings: Settings) -> list[str]:
    """For whom the dispatcher rings when it looks now."""
    with begin() as session:
        reaper.notify_stranded(session, "prior", seconds=60, max_running=settings.max_running_jobs)
        entries = outbox.due(session)
        outbox.mark_published(session, entries)
        return [entry.identifier for entry in entries]


def queued(begin: UnitOfWork, subject: Subject, settings: Settings) -> bool:
    """Whether the queue takes one more job, after which it is committed all the same."""
    with begin() as session:
        make_job(session, subject)
        standing, _ = quotas.of_jobs(session, subject.project_id, settings)
    return not standing.is_exceeded


@pytest.mark.parametrize(("free", "waits"), [(1, True), (MARGIN + 1, False)])
def test_who_queues_a_job_waits_for_another_only_near_the_limit(
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


def test_of_many_claims_at_once_as_many_succeed_as_may(begin: UnitOfWork, subject: Subject, narrow: Settings) -> None:
    with begin() as session:
        waiting = [make_job(session, subject).id for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        claims = [claim for claim in pool.map(lambda job_id: take(begin, job_id, narrow), waiting) if claim]
    assert len(claims) == 2


def test_who_waits_for_room_is_rung_for_when_there_is(begin: UnitOfWork, subject: Subject, narrow: Settings) -> None:
    with begin() as session:
        waiting = [make_job(session, subject).id for _ in range(3)]
    assert rung(begin, narrow) == waiting
    first, second, third = (take(begin, job_id, narrow) for job_id in waiting)
    assert first is not None
    assert second is not None
    assert third is None
    assert rung(begin, narrow) == []  # there is no room: a doorbell would be in vain
    with begin() as session:
        assert attempts.finish_failed(session, first, "internal_error", "a test", {})
    assert rung(begin, narrow) == [waiting[2]]  # at once, not after the seconds of a lost doorbell
    assert take(begin, waiting[2], narrow) is not None


def test_a_full_project_keeps_no_other_from_its_turn(begin: UnitOfWork, subject: Subject, narrow: Settings) -> None:
    with begin() as session:
        waiting = [make_job(session, subject).id for _ in range(12)]
        other = projects.create(session, "other")
        theirs = make_job(session, make_subject(session, other.id)).id
    rung(begin, narrow)
    for job_id in waiting:
        take(begin, job_id, narrow)
    with begin() as session:
        session.get_one(Job, theirs).rung_at = quotas.LONG_AGO  # its doorbell was lost
    assert rung(begin, narrow) == [theirs]
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
        return taken

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
    assert after(erase) == pytest.approx(100, abs=30)  # erasing does not make it good


def used(begin: UnitOfWork, project: Project) -> float:
    """The project's seconds of today."""
    with begin() as session:
        return session.scalar(usage.of_today(project.id)) or 0.0
