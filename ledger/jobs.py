"""Jobs: the database row is the job, a message only a doorbell. The user's side: submit, look, cancel.

The worker's side is in `attempts.py`, the dispatcher's in `rescue.py`, and how states follow in `transitions.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, ForeignKey, Index, and_, func, or_, select, text
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, mapped_column

from ledger import bulk_insert, outbox, transitions
from ledger.columns import Id, ListedProjectId, Moment
from ledger.database import Row, new_id, now
from ledger.edits import Edit
from ledger.events import JobEvent
from ledger.pages import NEWEST, Page, Window, newest
from ledger.states import TERMINAL, State
from ledger.subjects import Reference
from ledger.transitions import task

Kind = Literal["prior", "edit"]
KINDS: tuple[Kind, ...] = ("prior", "edit")


class Job(Row):
    """One piece of work. `parameters` are what was asked for, `resolved` what an attempt made of it.

    `epoch` fences writes; `attempt` counts claims that are charged, the newest was at `claimed_at`; `sequence` is the
    number of the newest event.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_queued", "created_at", postgresql_where=text("state = 'queued'")),
        Index("ix_jobs_leases", "lease_until", postgresql_where=text("state = 'running'")),
        Index("ix_jobs_project_id_created_at", "project_id", "created_at", "id"),
        Index("ix_jobs_project_id_state_created_at", "project_id", "state", "created_at", "id"),
        Index("ix_jobs_trainings", "project_id", "created_at", "id", postgresql_where=text("kind = 'prior'")),
        Index("ix_jobs_metadata", "metadata", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    kind: Mapped[str]
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True)
    prior_id: Mapped[str | None] = mapped_column(ForeignKey("priors.id", ondelete="CASCADE"), index=True)
    edit_id: Mapped[str | None] = mapped_column(ForeignKey("edits.id", ondelete="CASCADE"), index=True)
    state: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    resolved: Mapped[dict[str, Any]]
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata")
    webhook_url: Mapped[str | None]
    request_id: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    epoch: Mapped[int]
    attempt: Mapped[int]
    sequence: Mapped[int]
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    rung_at: Mapped[Moment]
    cancel_requested_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any]]
    progress_sequence: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    queued_at: Mapped[Moment]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[Moment]

    @property
    def status(self) -> State:
        """The state, typed."""
        return State(self.state)


def submit(
    session: Session,
    project_id: str,
    kind: Kind,
    *,
    subject_id: str,
    prior_id: str | None = None,
    edit_id: str | None = None,
    beside: Sequence[Row] = (),
    parameters: dict[str, Any],
    metadata: dict[str, str] | None = None,
    webhook_url: str | None = None,
    request_id: str | None = None,
    idempotency_key: str | None = None,
) -> Job:
    """Queue a job, with its first event and its doorbell; `beside` is written by the same statement."""
    job = Job(
        id=new_id("job"),
        project_id=project_id,
        kind=kind,
        subject_id=subject_id,
        prior_id=prior_id,
        edit_id=edit_id,
        state=str(State.QUEUED),
        parameters=parameters,
        resolved={},
        user_metadata=metadata or {},
        webhook_url=webhook_url,
        request_id=request_id,
        idempotency_key=idempotency_key,
        epoch=0,
        attempt=0,
        sequence=0,
        progress={},
        progress_sequence=0,
        metrics={},
    )
    announcements = transitions.event(job, State.QUEUED), outbox.entry(task(job), job.id)
    return bulk_insert.write(session, job, *announcements, *beside)


def get(session: Session, project_id: str, job_id: str) -> Job | None:
    """The project's job, if there is one."""
    return session.scalars(select(Job).where(Job.project_id == project_id, Job.id == job_id)).first()


def of_prior(session: Session, project_id: str, prior_id: str) -> Job | None:
    """The newest job that learns, or learnt, this prior."""
    mine = (Job.project_id == project_id, Job.prior_id == prior_id, Job.kind == "prior")
    return session.scalars(select(Job).where(*mine).order_by(Job.created_at.desc()).limit(1)).first()


def of_edit(session: Session, project_id: str, edit_id: str) -> Job | None:
    """The newest job that makes, or made, this edit."""
    mine = (Job.project_id == project_id, Job.edit_id == edit_id)
    return session.scalars(select(Job).where(*mine).order_by(Job.created_at.desc()).limit(1)).first()


def listing(
    session: Session,
    project_id: str,
    window: Window = NEWEST,
    *,
    state: State | None = None,
    kind: Kind | None = None,
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
    """`events` (of the table, above `sequence`) with the job's latest progress put in its place, if it is newer."""
    if job.progress_sequence <= sequence or not job.progress:
        return events
    latest = JobEvent(job.progress_sequence, f"{job.kind}.progress", now(session), dict(job.progress), terminal=False)
    return sorted([*events, latest], key=lambda event: event.sequence)


def is_over(session: Session, job_id: str) -> bool:
    """Whether the job has ended, or is gone: nobody needs its checkpoint any more."""
    live = select(Job.id).where(Job.id == job_id, Job.state.not_in(TERMINAL))
    return session.scalars(live).first() is None


def needs_captions(session: Session, job_id: str) -> bool:
    """Whether the job waits, and has a picture that its user did not describe: a reference, or an edit's picture."""
    reference = select(Reference).where(Reference.subject_id == Job.subject_id, _is_blank(Reference.caption))
    picture = select(Edit).where(Edit.id == Job.edit_id, _is_blank(Edit.source_prompt))
    lacks = or_(and_(Job.kind == "prior", reference.exists()), and_(Job.kind == "edit", picture.exists()))
    waiting = select(Job.id).where(Job.id == job_id, Job.state == State.QUEUED, lacks)
    return session.scalars(waiting).first() is not None


def cancel(session: Session, project_id: str, job_id: str) -> Job | None:
    """The user's wish: at once if the job waits, at the next step if it runs, nothing if it is over."""
    mine = (Job.project_id == project_id, Job.id == job_id)
    job = session.scalars(select(Job).where(*mine).with_for_update()).first()
    if job is None:
        return None
    if job.status not in TERMINAL and job.cancel_requested_at is None:
        job.cancel_requested_at = now(session)
        if job.status is State.QUEUED:
            transitions.end(session, job, State.CANCELED)
    return job


def _is_blank(words: InstrumentedAttribute[str | None]) -> ColumnElement[bool]:
    return func.coalesce(func.trim(words), "") == ""
