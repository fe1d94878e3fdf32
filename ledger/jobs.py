"""Jobs: the row is the job, and a message only wakes a worker. The user's operations: submit, read, cancel.

`attempts.py` has the worker's operations, `reaper.py` the dispatcher's, and `transitions.py` the changes of state.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from ledger import bulk_insert, outbox, transitions
from ledger.database import now
from ledger.events import JobEvent
from ledger.models import Job, Lease, Row, new_id
from ledger.pages import NEWEST, Page, Window, newest
from ledger.states import TERMINAL, JobKind, State


def submit(
    session: Session,
    project_id: str,
    kind: JobKind,
    *,
    subject_id: str,
    prior_id: str | None = None,
    edit_id: str | None = None,
    image_id: str | None = None,
    related: Sequence[Row] = (),
    parameters: dict[str, Any],
    metadata: dict[str, str] | None = None,
    webhook_url: str | None = None,
    webhook_events: Sequence[str] = (),
    request_id: str | None = None,
    idempotency_key: str | None = None,
    deadline_seconds: float | None = None,
    priority: int = 0,
    base_model: str | None = None,
) -> Job:
    """Queue a job, with its first event and its message; the same statement writes the `related` rows.

    The job expires if no attempt begins within `deadline_seconds`. None: the deadline of the queue alone.
    It ranks as if it had been submitted `priority` minutes before. Only workers with `base_model` claim it; None: all.
    """
    job = Job(
        id=new_id("job"),
        project_id=project_id,
        kind=kind,
        subject_id=subject_id,
        prior_id=prior_id,
        edit_id=edit_id,
        image_id=image_id,
        state=str(State.QUEUED),
        parameters=parameters,
        resolved={},
        user_metadata=metadata or {},
        webhook_url=webhook_url,
        webhook_events=list(webhook_events),
        request_id=request_id,
        idempotency_key=idempotency_key,
        epoch=0,
        attempt=0,
        sequence=0,
        progress={},
        progress_sequence=0,
        partial={},
        warnings=[],
        metrics={},
        priority=priority,
        base_model=base_model,
        expires_at=now(session) + timedelta(seconds=deadline_seconds) if deadline_seconds is not None else None,
    )
    if priority:  # otherwise the database's default, which costs no round trip
        job.rank_at = now(session) - timedelta(minutes=priority)
    message = outbox.entry(transitions.task(job), job.id)
    written = bulk_insert.write(session, job, transitions.event(job, State.QUEUED), message, *related)
    set_committed_value(written, "lease", None)  # so that no reader asks the database
    return written


def get(session: Session, project_id: str, job_id: str) -> Job | None:
    """The project's job, or None."""
    return session.scalars(select(Job).where(Job.project_id == project_id, Job.id == job_id)).first()


def of_prior(session: Session, project_id: str, prior_id: str) -> Job | None:
    """The newest job that learns this prior, or None."""
    mine = (Job.project_id == project_id, Job.prior_id == prior_id, Job.kind == "prior")
    return session.scalars(select(Job).where(*mine).order_by(Job.created_at.desc()).limit(1)).first()


def of_edit(session: Session, project_id: str, edit_id: str) -> Job | None:
    """The newest job of this edit, or None."""
    mine = (Job.project_id == project_id, Job.edit_id == edit_id)
    return session.scalars(select(Job).where(*mine).order_by(Job.created_at.desc()).limit(1)).first()


def newest_alike(session: Session, job: Job) -> Job | None:
    """The newest job for the same captions, or the same mask on the same base model, as this one."""
    same = (Job.project_id == job.project_id, Job.subject_id == job.subject_id, Job.kind == job.kind)
    model = Job.base_model.is_not_distinct_from(job.base_model)
    query = select(Job).where(*same, model, Job.parameters == job.parameters)
    return session.scalars(query.order_by(Job.created_at.desc()).limit(1)).first()


def listing(
    session: Session,
    project_id: str,
    window: Window = NEWEST,
    *,
    state: State | None = None,
    kind: JobKind | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Page[Job]:
    """The project's jobs, newest first; with `metadata`, those that have all of its pairs."""
    query = select(Job).where(Job.project_id == project_id)
    if state is not None:
        query = query.where(Job.state == state)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if metadata:
        query = query.where(Job.user_metadata.contains(metadata))
    return newest(session, query, Job, window)


def events_after(session: Session, job: Job, events: list[JobEvent], sequence: int) -> list[JobEvent]:
    """Insert the job's latest progress into `events`, which follow `sequence`, unless it is older than `sequence`."""
    number, progress = job.latest_progress
    if number <= sequence or not progress:
        return events
    latest = JobEvent(number, f"{job.kind}.progress", now(session), dict(progress), terminal=False)
    return sorted([*events, latest], key=lambda event: event.sequence)


def states(session: Session, job_ids: Sequence[str]) -> dict[str, tuple[int, State]]:
    """The number of the newest event or progress, and the state, of each of these jobs that exists, whosever it is."""
    newest = func.greatest(Job.sequence, Lease.sequence)  # it ignores NULL
    query = select(Job.id, newest, Job.state).outerjoin(Lease, Lease.job_id == Job.id)
    found = session.execute(query.where(Job.id.in_(job_ids)))
    return {job_id: (sequence, State(state)) for job_id, sequence, state in found}


def is_over(session: Session, job_id: str) -> bool:
    """Whether the job has ended or was deleted, so that its checkpoint is not needed any more."""
    unfinished = select(Job.id).where(Job.id == job_id, Job.state.not_in(TERMINAL))
    return session.scalars(unfinished).first() is None


def cancel(session: Session, project_id: str, job_id: str) -> Job | None:
    """Cancel a queued job immediately, and a running one at its next step. A job that has ended stays as it is."""
    mine = (Job.project_id == project_id, Job.id == job_id)
    job = session.scalars(select(Job).where(*mine).with_for_update(of=Job)).first()
    if job is None:
        return None
    if job.status not in TERMINAL and job.cancel_requested_at is None:
        job.cancel_requested_at = now(session)
        if job.status is State.QUEUED:
            transitions.end(session, job, State.CANCELED)
    return job
