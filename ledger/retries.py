"""Retries. A retry is a new job, because terminal states are final."""

from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import consents, job_warnings, jobs
from ledger.models import Edit, Job
from ledger.states import JobKind, State

RETRYABLE = frozenset({State.FAILED, State.CANCELED, State.EXPIRED})


class NotRetryable(Exception):
    """The job has not ended, has succeeded, was retried before, or has lost its prior; the message says which."""


def retry(
    session: Session,
    project_id: str,
    job_id: str,
    *,
    request_id: str | None = None,
    idempotency_key: str | None = None,
) -> Job | None:
    """Queue a new job for the same result, with the same parameters. None: not there. Raises NotRetryable."""
    mine = (Job.project_id == project_id, Job.id == job_id)
    job = session.scalars(select(Job).where(*mine).with_for_update(of=Job)).first()
    if job is None:
        return None
    if job.status not in RETRYABLE:
        raise NotRetryable(f"it is {job.status}: only a job that failed, was canceled or expired can be retried")
    edit = session.get(Edit, job.edit_id) if job.edit_id is not None else None
    if edit is not None and edit.prior_deleted_at is not None:
        raise NotRetryable("the prior of its edit was deleted: request a new edit with another prior")
    if consents.ended(session, [job.subject_id, edit.mix_subject_id if edit else None]):
        raise NotRetryable("the consent of the person shown has ended: record a new one first")
    newest = _newest(session, job)
    if newest is not None and newest.id != job.id:
        raise NotRetryable(f"it was retried before, as {newest.id}")
    retried = jobs.submit(
        session,
        project_id,
        cast(JobKind, job.kind),
        subject_id=job.subject_id,
        prior_id=job.prior_id,
        edit_id=job.edit_id,
        image_id=job.image_id,
        parameters=job.parameters,
        metadata=job.user_metadata,
        webhook_url=job.webhook_url,
        webhook_events=job.webhook_events,
        request_id=request_id,
        idempotency_key=idempotency_key,
        priority=job.priority,
        base_model=job.base_model,
        deadline_seconds=(job.expires_at - job.created_at).total_seconds() if job.expires_at is not None else None,
    )
    job_warnings.carry_over(session, job, retried)
    return retried


def _newest(session: Session, job: Job) -> Job | None:
    if job.kind in ("captions", "mask"):
        return jobs.newest_alike(session, job)
    if job.edit_id is not None:
        return jobs.of_edit(session, job.project_id, job.edit_id)
    return jobs.of_prior(session, job.project_id, job.prior_id) if job.prior_id is not None else None
