"""A job's own deadline: it expires if no attempt has begun, with its event and its webhook; a retry gets it again."""

from datetime import timedelta

from sqlalchemy import func, select, update

from ledger import attempts, jobs, priors, reaper, retries, transitions
from ledger.database import UnitOfWork
from ledger.models import Delivery, Event, Job, Project, Subject

WEEK = 604_800.0


def submit(begin: UnitOfWork, subject: Subject, seconds: float | None) -> Job:
    with begin() as session:
        prior = priors.create(session, subject.project_id, subject.id)
        return jobs.submit(
            session, subject.project_id, "prior", subject_id=subject.id, prior_id=prior.id, parameters={},
            webhook_url="https://example.com/", deadline_seconds=seconds,
        )  # fmt: skip


def expire(begin: UnitOfWork) -> int:
    with begin() as session:
        return reaper.expire(session, deadline_seconds=WEEK)


def test_a_job_expires_at_its_own_deadline(begin: UnitOfWork, subject: Subject, project: Project) -> None:
    late, patient, _ = (submit(begin, subject, seconds) for seconds in (60, 3600, None))
    assert expire(begin) == 0
    with begin() as session:
        earlier = timedelta(seconds=61)
        session.execute(update(Job).values(created_at=Job.created_at - earlier, expires_at=Job.expires_at - earlier))
    assert expire(begin) == 1
    with begin() as session:
        assert session.get_one(Job, late.id).state == "expired"
        assert session.get_one(Job, patient.id).state == "queued"
        assert session.scalars(select(Event.type).where(Event.terminal)).all() == ["prior.expired"]
        assert session.scalars(select(Delivery.event_type)).all() == ["prior.expired"]
        again = retries.retry(session, project.id, late.id)
        assert again is not None
        assert again.expires_at is not None
        assert abs((again.expires_at - again.created_at).total_seconds() - 60) < 30


def test_a_job_that_was_begun_does_not_expire(begin: UnitOfWork, subject: Subject) -> None:
    job = submit(begin, subject, 60)
    with begin() as session:
        assert attempts.claim(session, job.id, "worker", lease_seconds=60)
        transitions.requeue(session, session.get_one(Job, job.id), charge=True)
        session.execute(update(Job).values(expires_at=func.clock_timestamp() - timedelta(seconds=1)))
    assert expire(begin) == 0
