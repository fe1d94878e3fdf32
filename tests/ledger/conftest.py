"""Fixtures of rows without objects: a subject, a job about it, and a claim of a job."""

from collections.abc import Callable

import pytest

from ledger import attempts
from ledger.attempts import Claim
from ledger.database import UnitOfWork
from ledger.models import Job, Project, Subject
from tests.support.rows import make_job, make_subject


@pytest.fixture
def subject(begin: UnitOfWork, project: Project) -> Subject:
    """A dog with three references."""
    with begin() as session:
        return make_subject(session, project.id)


@pytest.fixture
def job(begin: UnitOfWork, subject: Subject) -> Job:
    """A queued job that learns a prior of `subject`."""
    with begin() as session:
        return make_job(session, subject)


@pytest.fixture
def claim(begin: UnitOfWork) -> Callable[..., Claim]:
    """`claim(job, lease_seconds=...)` claims the job as a worker does."""

    def take(job: Job, lease_seconds: float = 60.0) -> Claim:
        with begin() as session:
            taken = attempts.claim(session, job.id, "test worker", lease_seconds=lease_seconds)
        assert taken is not None
        return taken

    return take
