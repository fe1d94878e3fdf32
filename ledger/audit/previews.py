"""Invariants 2 and 4 for previews: a job shows one only while it runs, and only of the attempt that runs it."""

from collections.abc import Iterator

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ledger.audit.violation import Bounds, Violation
from ledger.models import Job, Lease
from ledger.previews import FIELD, from_progress
from ledger.states import State
from ledger.storage import StoredObject, attempt_prefix


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Previews of attempts that have ended."""
    for job, preview in _shown(session):
        if job.status is not State.RUNNING:
            yield Violation(4, f"job {job.id}", f"is {job.state}, but still shows the preview {preview.key}")
        elif not preview.key.startswith(attempt_prefix(job.project_id, job.id, job.epoch)):
            yield Violation(
                2, f"job {job.id}", f"shows a preview that does not belong to its attempt {job.epoch}: {preview.key}"
            )


def recorded(session: Session) -> dict[str, StoredObject]:
    """The objects of the previews that running jobs show, by a name for the report."""
    return {f"the preview of job {job.id}": preview for job, preview in _shown(session) if job.state == State.RUNNING}


def _shown(session: Session) -> Iterator[tuple[Job, StoredObject]]:
    shown = or_(Job.progress.has_key(FIELD), Lease.progress.has_key(FIELD))
    for job in session.scalars(select(Job).outerjoin(Lease, Lease.job_id == Job.id).where(shown)):
        if preview := from_progress(job.latest_progress[1]):
            yield job, preview.stored
