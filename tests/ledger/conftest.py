"""A subject with its pictures, and jobs about it, straight in the tables: no object exists, none is needed."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from ledger import attempts, images, jobs, priors, subjects
from ledger.attempts import Claim
from ledger.database import UnitOfWork, new_id
from ledger.jobs import Job
from ledger.projects import Project
from ledger.storage import StoredObject, image_prefix
from ledger.subjects import Subject


@pytest.fixture
def subject(begin: UnitOfWork, project: Project) -> Subject:
    """A dog with three references."""
    with begin() as session:
        return make_subject(session, project.id)


@pytest.fixture
def job(begin: UnitOfWork, subject: Subject) -> Job:
    """A queued prior job of `subject`."""
    with begin() as session:
        return make_job(session, subject)


@pytest.fixture
def claim(begin: UnitOfWork) -> Callable[..., Claim]:
    """`claim(job, lease_seconds=...)`: take the job as a worker does."""

    def take(job: Job, lease_seconds: float = 60.0) -> Claim:
        with begin() as session:
            taken = attempts.claim(session, job.id, "test worker", lease_seconds=lease_seconds)
        assert taken is not None
        return taken

    return take


def make_image(session: Session, project_id: str) -> images.Image:
    """A row without its object."""
    image_id = new_id("img")
    stored = StoredObject(f"{image_prefix(project_id, image_id)}image.png", 1, "0" * 64)
    return images.add(session, project_id, image_id, stored, width=64, height=64)


def make_subject(session: Session, project_id: str) -> Subject:
    """A subject with three references of its own."""
    pictures = [make_image(session, project_id) for _ in range(3)]
    return subjects.create(session, project_id, name="Rex", class_noun="dog", token="sks", images=pictures)


def make_job(session: Session, subject: Subject, webhook_url: str | None = None) -> Job:
    """A queued job that is to learn a prior."""
    prior = priors.create(session, subject.project_id, subject.id)
    return jobs.submit(
        session, subject.project_id, "prior", subject_id=subject.id, prior_id=prior.id, parameters={},
        metadata={"order": "7"}, webhook_url=webhook_url,
    )  # fmt: skip
