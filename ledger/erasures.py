"""Erasures: delete subjects, priors, edits, images or studies with everything derived from them, and keep a record.

One transaction deletes the rows and writes the record; the objects are deleted after its commit. A program that dies in
between leaves the record unfinished, and the dispatcher deletes the objects.

A deletion does not wait for jobs: a queued job never starts, and a worker that runs one loses it at its next step. No
event and no webhook follows. Transactions that meet may end with a conflict: call these with
`database.repeat_conflicts`. After the commit, call `sweep`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, String, any_, delete, func, literal, or_, select, union_all, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger import idempotency, studies, usage
from ledger.database import UnitOfWork, now
from ledger.models import Edit, Erasure, Image, Job, Prior, Reference, Study, StudyImage, StudyItem, Subject, new_id
from ledger.states import TERMINAL, State
from ledger.storage import Storage, image_prefix, import_prefix, job_prefix, upload_prefix

MAX_SHOWN = 100
SWEEP_SIZE = 100
PARALLEL_DELETIONS = 8
"""The storage answers in milliseconds, and most of the time is waiting."""


@dataclass(frozen=True)
class Users:
    """The ids of the subjects, edits and studies that use a resource, oldest first."""

    subjects: list[str]
    edits: list[str]
    studies: list[str]


class InUse(Exception):
    """Other resources need this one. `users` are at most MAX_SHOWN of each kind."""

    def __init__(self, users: Users) -> None:
        numbers = f"{len(users.subjects)} subjects, {len(users.edits)} edits and {len(users.studies)} studies"
        super().__init__(f"{numbers} use it")
        self.users = users


@dataclass(frozen=True)
class _Deleted:
    """The ids of deleted rows, and the prefixes of their objects."""

    ids: list[str]
    prefixes: list[str]

    def __add__(self, other: "_Deleted") -> "_Deleted":
        return _Deleted(self.ids + other.ids, self.prefixes + other.prefixes)


def erase_subject(session: Session, project_id: str, subject_id: str) -> Erasure | None:
    """Delete the subject with its priors, edits and jobs, and references that nothing else uses. None: not there.

    Edits of other subjects that mixed in one of its priors show it, and are deleted, too. So are the items of studies
    that show it, with their images that nothing else uses.
    """
    deleted = _delete_subjects(session, project_id, [subject_id])
    return _record(session, project_id, deleted) if deleted.ids else None


def erase_prior(session: Session, project_id: str, prior_id: str) -> Erasure | None:
    """Delete the prior and its training. None: not there. Raises InUse if an edit that has not ended uses it.

    The other edits stay, without this prior and with the time of this deletion.
    """
    _lock_jobs(session, project_id, Job.prior_id, [prior_id], Edit.mix_prior_id)
    if not _lock(session, Prior, project_id, [prior_id]):
        return None
    jobs = _lock_jobs(session, project_id, Job.prior_id, [prior_id], Edit.mix_prior_id)
    of_edits = (_is_in(Job.id, jobs), Job.kind == "edit")
    waiting = select(Job.edit_id).where(*of_edits, Job.state.not_in(TERMINAL)).order_by(Job.created_at)
    if users := list(session.scalars(waiting.limit(MAX_SHOWN))):
        raise InUse(Users([], [edit_id for edit_id in users if edit_id is not None], []))
    session.execute(update(Job).where(*of_edits, Job.prior_id == prior_id).values(prior_id=None))
    for column in (Edit.prior_id, Edit.mix_prior_id):
        used = update(Edit).where(column == prior_id)
        session.execute(used.values({column: None, Edit.prior_deleted_at: now(session)}))
    trainings = list(session.scalars(select(Job.id).where(_is_in(Job.id, jobs), Job.kind == "prior")))
    _charge(session, trainings)
    session.execute(delete(Prior).where(Prior.id == prior_id))
    imported = _Deleted([], [import_prefix(project_id, prior_id)])
    return _record(session, project_id, _of_jobs(project_id, [prior_id], trainings) + imported)


def erase_edit(session: Session, project_id: str, edit_id: str) -> Erasure | None:
    """Delete the edit with its jobs and results. Source image and mask stay. None: not there."""
    return erase_edits(session, project_id, [edit_id])


def erase_edits(session: Session, project_id: str, edit_ids: Sequence[str]) -> Erasure | None:
    """Delete edits as `erase_edit` does, with one record. None: none of them is there."""
    deleted = _delete_edits(session, project_id, edit_ids)
    return _record(session, project_id, deleted) if deleted.ids else None


def erase_image(session: Session, project_id: str, image_id: str) -> Erasure | None:
    """Delete the image. None: not there. Raises InUse."""
    if not _lock(session, Image, project_id, [image_id]):
        return None
    users = _users(session, image_id, MAX_SHOWN)
    if users.subjects or users.edits or users.studies:
        raise InUse(users)
    return _record(session, project_id, _delete_images(session, project_id, [image_id]))


def erase_image_with_users(session: Session, project_id: str, image_id: str) -> Erasure | None:
    """Delete the image with the edits and items of studies that use it, and the subjects that it is a reference of.

    None: not there.
    """
    if not _lock(session, Image, project_id, [image_id]):
        return None
    users = _users(session, image_id)  # complete: the lock keeps others from adding one
    deleted = _delete_edits(session, project_id, users.edits) + _delete_subjects(session, project_id, users.subjects)
    deleted += _delete_items(session, _is_in(StudyImage.image_id, [image_id]))[0]
    return _record(session, project_id, deleted + _delete_images(session, project_id, [image_id]))


def erase_study(session: Session, project_id: str, study_id: str) -> Erasure | None:
    """Delete the study with its raters and answers. Its images stay and can be deleted. None: not there."""
    mine = delete(Study).where(Study.project_id == project_id, Study.id == study_id).returning(Study.id)
    deleted = list(session.scalars(mine))
    return _record(session, project_id, _Deleted(deleted, [])) if deleted else None


def sweep(begin: UnitOfWork, storage: Storage, erasure_id: str, *, settle_seconds: float = 0.0) -> None:
    """Delete the erasure's objects. Raises StorageError; the caller may try again.

    The erasure is finished once it is `settle_seconds` old. Until then a worker that ran one of the jobs may still
    store an object, and may be killed before it deletes that object.
    """
    with begin() as session:
        erasure = session.get_one(Erasure, erasure_id)
    with ThreadPoolExecutor(PARALLEL_DELETIONS) as pool:
        for _ in pool.map(storage.delete_prefix, erasure.prefixes):
            pass
    with begin() as session:
        moment = func.clock_timestamp()
        settled = (Erasure.id == erasure_id, Erasure.created_at <= moment - timedelta(seconds=settle_seconds))
        finished = session.execute(update(Erasure).where(*settled).values(finished_at=moment).returning(Erasure.id))
        if finished.first() is not None:
            idempotency.redact(session, erasure.project_id, erasure.erased)


def list_unfinished(session: Session, limit: int = SWEEP_SIZE) -> list[str]:
    """The ids of the oldest erasures whose objects may still exist."""
    unfinished = select(Erasure.id).where(Erasure.finished_at.is_(None)).order_by(Erasure.created_at).limit(limit)
    return list(session.scalars(unfinished))


def _delete_subjects(session: Session, project_id: str, subject_ids: Sequence[str]) -> _Deleted:
    _lock_jobs(session, project_id, Job.subject_id, subject_ids, Edit.mix_subject_id)
    locked = _lock(session, Subject, project_id, subject_ids)
    jobs = _lock_jobs(session, project_id, Job.subject_id, locked, Edit.mix_subject_id)
    _charge(session, jobs)
    priors = session.scalars(select(Prior.id).where(_is_in(Prior.subject_id, locked))).all()
    edits = session.scalars(
        select(Edit.id).where(or_(_is_in(Edit.subject_id, locked), _is_in(Edit.mix_subject_id, locked)))
    ).all()
    imported = _Deleted([], [import_prefix(project_id, prior_id) for prior_id in priors])
    references = session.scalars(select(Reference.image_id).where(_is_in(Reference.subject_id, locked))).all()
    studied, shown = _delete_items(session, _is_in(StudyItem.subject_id, locked), _is_in(StudyImage.edit_id, edits))
    session.execute(delete(Subject).where(_is_in(Subject.id, locked)))
    deleted = _of_jobs(project_id, [*locked, *priors, *edits], jobs) + imported + studied
    return deleted + _delete_images(session, project_id, [*references, *shown])


def _delete_edits(session: Session, project_id: str, edit_ids: Sequence[str]) -> _Deleted:
    _lock_jobs(session, project_id, Job.edit_id, edit_ids)
    locked = _lock(session, Edit, project_id, edit_ids)
    jobs = _lock_jobs(session, project_id, Job.edit_id, locked)
    _charge(session, jobs)
    studied, _ = _delete_items(session, _is_in(StudyImage.edit_id, locked))
    session.execute(delete(Edit).where(_is_in(Edit.id, locked)))
    return _of_jobs(project_id, locked, jobs) + studied


def _delete_items(session: Session, *conditions: ColumnElement[bool]) -> tuple[_Deleted, list[str]]:
    """Delete the items of studies that match one condition, and the studies that have no other.

    Returns also the uploaded results of the items.
    """
    items = select(StudyItem.id).join(StudyImage, StudyImage.item_id == StudyItem.id)
    # One query for each condition: an OR over both tables would read all items.
    item_ids = sorted({item_id for one in conditions for item_id in session.scalars(items.where(one))})
    results = (_is_in(StudyImage.item_id, item_ids), StudyImage.role == "result", StudyImage.image_id.is_not(None))
    images = session.scalars(select(StudyImage.image_id).where(*results)).all()
    return _Deleted(studies.delete_items(session, item_ids), []), [one for one in images if one is not None]


def _delete_images(session: Session, project_id: str, image_ids: Sequence[str]) -> _Deleted:
    """Delete those of the images that no subject, no edit and no study uses, with the masks found in them."""
    # One by one: an OR over both columns of an edit would read all edits for each image.
    users = (Reference.image_id, Edit.image_id, Edit.mask_image_id, StudyImage.image_id)
    unused = [~select(column).where(column == Image.id).exists() for column in users]
    found = select(Image.id).where(_is_in(Image.id, image_ids), *unused)
    locked = list(session.scalars(found.order_by(Image.id).with_for_update()))
    jobs = _lock_jobs(session, project_id, Job.image_id, locked)
    _charge(session, jobs)
    deletion = delete(Image).where(_is_in(Image.id, locked)).returning(Image.id, Image.upload_id)
    rows = session.execute(deletion).all()
    uploads = [upload_id for _, upload_id in rows if upload_id is not None]
    files = _Deleted(
        [image_id for image_id, _ in rows] + uploads,
        [image_prefix(project_id, image_id) for image_id, _ in rows]
        + [upload_prefix(project_id, upload_id) for upload_id in uploads],
    )
    return files + _of_jobs(project_id, [], jobs)


def _users(session: Session, image_id: str, limit: int | None = None) -> Users:
    subjects = select(Subject.id).join(Reference).where(Reference.image_id == image_id)
    edits = select(Edit.id).where(or_(Edit.image_id == image_id, Edit.mask_image_id == image_id))
    items = select(StudyItem.study_id).join(StudyImage).where(StudyImage.image_id == image_id)
    using = select(Study.id).where(Study.id.in_(items))
    return Users(
        list(session.scalars(subjects.order_by(Subject.created_at).limit(limit))),
        list(session.scalars(edits.order_by(Edit.created_at).limit(limit))),
        list(session.scalars(using.order_by(Study.created_at).limit(limit))),
    )


def _lock_jobs(
    session: Session,
    project_id: str,
    column: InstrumentedAttribute[Any],
    resource_ids: Sequence[str],
    mix_column: InstrumentedAttribute[Any] | None = None,
) -> list[str]:
    """Lock the jobs of the resources, and return their ids; with `mix_column`, also those of edits that mix them in.

    Jobs are locked before the resource, because workers and retries do so, too; and again after it, as a retry may
    have added one.
    """
    named = _is_in(column, resource_ids)
    if mix_column is not None:  # a union, because a plain OR over two tables would read all jobs
        mixing = select(Job.id).join(Edit, Edit.id == Job.edit_id).where(_is_in(mix_column, resource_ids))
        named = Job.id.in_(union_all(select(Job.id).where(named), mixing))
    mine = select(Job.id).where(Job.project_id == project_id, named)
    return list(session.scalars(mine.order_by(Job.id).with_for_update()))


def _lock(session: Session, table: Any, project_id: str, row_ids: Sequence[str]) -> list[str]:
    """The ids of the project's rows among these, locked: no transaction can add a row that refers to them."""
    mine = select(table.id).where(table.project_id == project_id, _is_in(table.id, row_ids))
    return list(session.scalars(mine.order_by(table.id).with_for_update()))


def _charge(session: Session, job_ids: Sequence[str]) -> None:
    """Add the GPU seconds of running jobs to the project's usage, which outlives them."""
    for job in session.scalars(select(Job).where(_is_in(Job.id, job_ids), Job.state == State.RUNNING)).all():
        usage.charge(session, job)


def _of_jobs(project_id: str, ids: Sequence[str], job_ids: Sequence[str]) -> _Deleted:
    return _Deleted([*ids, *job_ids], [job_prefix(project_id, job_id) for job_id in job_ids])


def _record(session: Session, project_id: str, deleted: _Deleted) -> Erasure:
    """Write the record, and forget the answers about the deleted rows."""
    idempotency.forget(session, project_id, deleted.ids)
    erasure = Erasure(id=new_id("era"), project_id=project_id, erased=deleted.ids, prefixes=deleted.prefixes)
    session.add(erasure)
    session.flush()
    return erasure


def _is_in(column: InstrumentedAttribute[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """`column IN values` with one parameter: Postgres refuses a statement with more than 65535."""
    return column == any_(literal(list(values), ARRAY(String)))
