"""Erasures: delete a subject with everything derived from it, and keep a record.

One transaction deletes the rows and writes the record; the objects are deleted after its commit. A program that dies in
between leaves the record unfinished, and the dispatcher deletes the objects.
"""

from datetime import timedelta

from sqlalchemy import Text, cast, delete, func, select, update
from sqlalchemy.orm import Session

from ledger import usage
from ledger.database import UnitOfWork
from ledger.models import Edit, Erasure, IdempotentRequest, Image, Job, Reference, Subject, new_id
from ledger.states import State
from ledger.storage import Storage, image_prefix, job_prefix, upload_prefix


def erase_subject(session: Session, project_id: str, subject_id: str) -> Erasure | None:
    """Delete the subject and every row derived from it; None: not there. After the commit, call `sweep`.

    References that nothing else uses are deleted too. A worker that runs one of the jobs loses it at its next step.
    """
    mine = (Subject.project_id == project_id, Subject.id == subject_id)
    subject = session.scalars(select(Subject).where(*mine).with_for_update()).first()
    if subject is None:
        return None
    running = select(Job).where(Job.subject_id == subject_id, Job.state == State.RUNNING).with_for_update()
    for job in session.scalars(running).all():
        usage.charge(session, job)
    job_ids = session.scalars(select(Job.id).where(Job.subject_id == subject_id)).all()
    references = [reference.image_id for reference in subject.references]
    answers = (IdempotentRequest.project_id == project_id, cast(IdempotentRequest.body, Text).contains(subject_id))
    session.execute(delete(IdempotentRequest).where(*answers))
    session.execute(delete(Subject).where(Subject.id == subject_id))
    erasure = Erasure(
        id=new_id("era"),
        project_id=project_id,
        subject_id=subject_id,
        prefixes=[job_prefix(project_id, job_id) for job_id in job_ids]
        + _delete_unused(session, project_id, references),
    )
    session.add(erasure)
    session.flush()
    return erasure


def sweep(begin: UnitOfWork, storage: Storage, erasure_id: str, *, settle_seconds: float = 0.0) -> None:
    """Delete the erasure's objects. Raises StorageError; the caller may try again.

    The erasure is finished once it is `settle_seconds` old. Until then a worker that ran one of the jobs may still
    store an object, and may be killed before it deletes that object.
    """
    with begin() as session:
        erasure = session.get_one(Erasure, erasure_id)
    for prefix in erasure.prefixes:
        storage.delete_prefix(prefix)
    with begin() as session:
        moment = func.clock_timestamp()
        settled = (Erasure.id == erasure_id, Erasure.created_at <= moment - timedelta(seconds=settle_seconds))
        session.execute(update(Erasure).where(*settled).values(finished_at=moment))


def list_unfinished(session: Session, limit: int = 10) -> list[str]:
    """The ids of the oldest erasures whose objects may still exist."""
    unfinished = select(Erasure.id).where(Erasure.finished_at.is_(None)).order_by(Erasure.created_at).limit(limit)
    return list(session.scalars(unfinished))


def _delete_unused(session: Session, project_id: str, image_ids: list[str]) -> list[str]:
    """Delete the images that no subject and no edit uses; return the prefixes of their objects and uploads."""
    unused = (
        ~select(Reference).where(Reference.image_id == Image.id).exists(),
        ~select(Edit).where((Edit.image_id == Image.id) | (Edit.mask_image_id == Image.id)).exists(),
    )
    deletion = delete(Image).where(Image.id.in_(image_ids), *unused).returning(Image.id, Image.upload_id)
    deleted = session.execute(deletion).all()
    return [image_prefix(project_id, image_id) for image_id, _ in deleted] + [
        upload_prefix(project_id, upload_id) for _, upload_id in deleted if upload_id is not None
    ]
