"""Rows straight in the tables: a subject with its images, and jobs about it. No object exists, and none is needed."""

from sqlalchemy.orm import Session

from ledger import images, jobs, priors, subjects
from ledger.database import new_id
from ledger.jobs import Job
from ledger.storage import StoredObject, image_prefix
from ledger.subjects import Subject


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
