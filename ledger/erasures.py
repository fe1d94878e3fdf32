"""Erasures: the record that a subject was erased, and of the objects that are still to be deleted.

The rows go in one transaction, the objects after it: whoever dies in between leaves a record unfinished, and the
dispatcher sweeps it.
"""

from datetime import datetime, timedelta

from sqlalchemy import Text, cast, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger import usage
from ledger.columns import Id, Moment, ProjectId
from ledger.database import Row, UnitOfWork, new_id
from ledger.edits import Edit
from ledger.idempotency import Request
from ledger.images import Image
from ledger.jobs import Job
from ledger.states import State
from ledger.storage import Storage, image_prefix, job_prefix, upload_prefix
from ledger.subjects import Reference, Subject


class Erasure(Row):
    """`prefixes`: where the erased objects lie, each ending with a slash."""

    __tablename__ = "erasures"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    subject_id: Mapped[str]
    prefixes: Mapped[list[str]]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)
    created_at: Mapped[Moment]


def erase_subject(session: Session, project_id: str, subject_id: str) -> Erasure | None:
    """Delete the subject and every row derived from it; None: not there. After the commit, call `sweep`.

    A worker on one of its jobs finds the row gone at its next step. References that nothing else uses go, too.
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
    answers = (Request.project_id == project_id, cast(Request.body, Text).contains(subject_id))
    session.execute(delete(Request).where(*answers))
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
    """Delete the erasure's objects. Raises StorageError; it can be called again.

    It must be, until the erasure is `settle_seconds` old: a worker that was on one of the jobs may have stored
    something right after, and been killed before its clean-up.
    """
    with begin() as session:
        erasure = session.get_one(Erasure, erasure_id)
    for prefix in erasure.prefixes:
        storage.delete_prefix(prefix)
    with begin() as session:
        moment = func.clock_timestamp()
        settled = (Erasure.id == erasure_id, Erasure.created_at <= moment - timedelta(seconds=settle_seconds))
        session.execute(update(Erasure).where(*settled).values(finished_at=moment))


def unfinished(session: Session, limit: int = 10) -> list[str]:
    """The ids of erasures whose objects may still exist, oldest first."""
    left = select(Erasure.id).where(Erasure.finished_at.is_(None)).order_by(Erasure.created_at).limit(limit)
    return list(session.scalars(left))


def _delete_unused(session: Session, project_id: str, image_ids: list[str]) -> list[str]:
    """Delete those of the pictures that no subject and no edit uses; where they lie, and what was uploaded for them."""
    unused = (
        ~select(Reference).where(Reference.image_id == Image.id).exists(),
        ~select(Edit).where((Edit.image_id == Image.id) | (Edit.mask_image_id == Image.id)).exists(),
    )
    doomed = delete(Image).where(Image.id.in_(image_ids), *unused).returning(Image.id, Image.upload_id)
    gone = session.execute(doomed).all()
    return [image_prefix(project_id, image_id) for image_id, _ in gone] + [
        upload_prefix(project_id, upload_id) for _, upload_id in gone if upload_id is not None
    ]
