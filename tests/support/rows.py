"""Rows without objects: an image, a subject, a queued job."""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from ledger import images, jobs, priors, subjects
from ledger.database import UnitOfWork, now
from ledger.models import Image, Job, KnownPeriod, Subject, new_id
from ledger.storage import StoredObject, image_prefix


def known_since_long(begin: UnitOfWork) -> None:
    """The database has worked without a gap since 2000, so that the orphan sweep may delete all."""
    with begin() as session:
        session.add(KnownPeriod(begins_at=datetime(2000, 1, 1, tzinfo=UTC), ends_at=now(session)))


def make_image(session: Session, project_id: str) -> Image:
    """An image whose object does not exist."""
    image_id = new_id("img")
    stored = StoredObject(f"{image_prefix(project_id, image_id)}image.png", 1, "0" * 64)
    return images.add(session, project_id, image_id, stored, width=64, height=64)


def make_subject(session: Session, project_id: str) -> Subject:
    """A subject with three references of its own."""
    references = [make_image(session, project_id) for _ in range(3)]
    return subjects.create(session, project_id, name="Rex", class_noun="dog", token="sks", images=references)


def make_job(session: Session, subject: Subject, webhook_url: str | None = None) -> Job:
    """A queued job that learns a prior."""
    prior = priors.create(session, subject.project_id, subject.id)
    return jobs.submit(
        session, subject.project_id, "prior", subject_id=subject.id, prior_id=prior.id, parameters={},
        metadata={"order": "7"}, webhook_url=webhook_url,
    )  # fmt: skip
