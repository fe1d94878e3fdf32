"""Jobs: the database row is the job, a message only a doorbell.

A claim is one compare-and-set: it bumps `epoch` and takes a lease, and every later write of that attempt carries the
epoch. Whoever was thought dead and comes back finds its writes refused. The lease is renewed by progress alone, and the
renewal's answer is the only way in which a worker is told anything.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import ForeignKey, Index, exists, func, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger import artefacts, outbox, priors, webhooks
from ledger.artefacts import NewArtefact
from ledger.columns import Id, Moment, ProjectId
from ledger.database import Row, new_id, now
from ledger.events import Event, JobEvent
from ledger.pages import Cursor, Page, newest
from ledger.states import TERMINAL, State, check

Kind = Literal["prior", "edit"]


class Job(Row):
    """One piece of work. `parameters` are what was asked for, `resolved` what an attempt made of it.

    `epoch` fences writes; `attempt` counts claims that are charged; `sequence` is the number of the newest event.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_queued", "created_at", postgresql_where=text("state = 'queued'")),
        Index("ix_jobs_leases", "lease_until", postgresql_where=text("state = 'running'")),
        Index("ix_jobs_project_id_created_at", "project_id", "created_at", "id"),
    )

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
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
    epoch: Mapped[int]
    attempt: Mapped[int]
    sequence: Mapped[int]
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None]
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


class Control(StrEnum):
    """What a renewal answers to the worker."""

    GO_ON = "go_on"
    CANCEL = "cancel"  # the user cancelled: stop, acknowledge with `finish_canceled`
    LOST = "lost"  # the job is another attempt's, or over: stop, write nothing


@dataclass(frozen=True)
class Claim:
    """The right to work on a job, for as long as the lease is renewed."""

    job_id: str
    project_id: str
    kind: Kind
    epoch: int
    attempt: int
    seconds_queued: float


@dataclass(frozen=True)
class Progress:
    """How far an attempt is: `stage`, then `step` of `total` in it."""

    stage: str
    step: int
    total: int
    details: dict[str, Any] = field(default_factory=dict)


def submit(
    session: Session,
    project_id: str,
    kind: Kind,
    *,
    subject_id: str,
    prior_id: str | None = None,
    edit_id: str | None = None,
    parameters: dict[str, Any],
    metadata: dict[str, str] | None = None,
    webhook_url: str | None = None,
    request_id: str | None = None,
) -> Job:
    """Queue a job, with its doorbell in the same transaction."""
    job = Job(
        id=new_id("job"),
        project_id=project_id,
        kind=kind,
        subject_id=subject_id,
        prior_id=prior_id,
        edit_id=edit_id,
        state=State.QUEUED,
        parameters=parameters,
        resolved={},
        user_metadata=metadata or {},
        webhook_url=webhook_url,
        request_id=request_id,
        epoch=0,
        attempt=0,
        sequence=0,
        progress={},
        progress_sequence=0,
        metrics={},
    )
    session.add(job)
    session.flush()
    _record(session, job, State.QUEUED)
    outbox.add(session, _task(job), job.id)
    session.flush()
    session.refresh(job)
    return job


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
    *,
    state: State | None = None,
    kind: Kind | None = None,
    limit: int = 20,
    after: Cursor | None = None,
) -> Page[Job]:
    """The project's jobs, newest first."""
    query = select(Job).where(Job.project_id == project_id)
    if state is not None:
        query = query.where(Job.state == state)
    if kind is not None:
        query = query.where(Job.kind == kind)
    return newest(session, query, Job, limit=limit, after=after)


def count_queued(session: Session, project_id: str) -> int:
    """How many of the project's jobs wait."""
    mine = (Job.project_id == project_id, Job.state == State.QUEUED)
    return session.scalar(select(func.count()).select_from(Job).where(*mine)) or 0


def events_after(session: Session, job: Job, events: list[JobEvent], sequence: int) -> list[JobEvent]:
    """`events` (of the table, above `sequence`) with the job's latest progress put in its place, if it is newer."""
    if job.progress_sequence <= sequence or not job.progress:
        return events
    latest = JobEvent(job.progress_sequence, f"{job.kind}.progress", now(session), dict(job.progress), terminal=False)
    return sorted([*events, latest], key=lambda event: event.sequence)


def claim(session: Session, job_id: str, worker: str, *, lease_seconds: float) -> Claim | None:
    """Take a queued job: one compare-and-set. None: somebody else has it, or it is over."""
    job = session.scalars(
        update(Job)
        .where(Job.id == job_id, Job.state == State.QUEUED, Job.cancel_requested_at.is_(None))
        .values(
            state=State.RUNNING,
            epoch=Job.epoch + 1,
            attempt=Job.attempt + 1,
            worker=worker,
            lease_until=func.clock_timestamp() + timedelta(seconds=lease_seconds),
            started_at=func.coalesce(Job.started_at, func.clock_timestamp()),
        )
        .returning(Job)
    ).first()
    if job is None:
        return None
    _record(session, job, State.RUNNING)
    seconds_queued = (now(session) - job.queued_at).total_seconds()
    return Claim(job.id, job.project_id, job.kind, job.epoch, job.attempt, seconds_queued)  # type: ignore[arg-type]


def renew(session: Session, claim: Claim, progress: Progress, *, lease_seconds: float) -> Control:
    """Report progress and keep the lease; the answer says what the worker must do."""
    cancel = session.execute(
        update(Job)
        .where(*_held(claim))
        .values(
            lease_until=func.clock_timestamp() + timedelta(seconds=lease_seconds),
            sequence=Job.sequence + 1,
            progress_sequence=Job.sequence + 1,
            progress={**progress.details, "stage": progress.stage, "step": progress.step, "total": progress.total},
        )
        .returning(Job.cancel_requested_at)
    ).first()
    if cancel is None:
        return Control.LOST
    return Control.CANCEL if cancel[0] is not None else Control.GO_ON


def finish(
    session: Session,
    claim: Claim,
    made: list[NewArtefact],
    *,
    resolved: dict[str, Any],
    metrics: dict[str, Any],
    manifest: dict[str, Any] | None = None,
) -> bool:
    """The job succeeded: its verified artefacts, the prior, the event and the webhooks, in one transaction.

    False: the attempt is not the effective one any more, or the job was cancelled; nothing was written.
    """
    job = _lock_held(session, claim)
    if job is None or job.cancel_requested_at is not None:
        return False
    artefacts.record(session, job.project_id, job.id, made)
    if job.kind == "prior" and job.prior_id is not None and manifest is not None:
        adapter = next(artefact for artefact in made if artefact.role == "adapter")
        priors.mark_ready(
            session,
            job.prior_id,
            manifest=manifest,
            adapter_key=adapter.stored.key,
            adapter_sha256=adapter.stored.sha256,
        )
    job.resolved, job.metrics = resolved, metrics
    _end(session, job, State.SUCCEEDED)
    return True


def finish_failed(session: Session, claim: Claim, code: str, detail: str, metrics: dict[str, Any]) -> bool:
    """The attempt found an error that another attempt would meet again. False: not the effective attempt."""
    job = _lock_held(session, claim)
    if job is None:
        return False
    job.metrics = metrics
    _fail(session, job, code, detail)
    return True


def finish_canceled(session: Session, claim: Claim) -> bool:
    """The worker has stopped, as the user wished. False: not the effective attempt."""
    job = _lock_held(session, claim)
    if job is None or job.cancel_requested_at is None:
        return False
    _end(session, job, State.CANCELED)
    return True


def release(session: Session, claim: Claim, *, charge: bool) -> bool:
    """Give a job back to the queue, its checkpoint kept; a draining worker's attempt is not charged.

    A job that the user cancelled meanwhile ends. False: not the effective attempt.
    """
    job = _lock_held(session, claim)
    if job is None:
        return False
    if job.cancel_requested_at is not None:
        _end(session, job, State.CANCELED)
    else:
        _requeue(session, job, charge=charge)
    return True


def is_over(session: Session, job_id: str) -> bool:
    """Whether the job has ended, or is gone: nobody needs its checkpoint any more."""
    live = select(Job.id).where(Job.id == job_id, Job.state.not_in(TERMINAL))
    return session.scalars(live).first() is None


def cancel(session: Session, project_id: str, job_id: str) -> Job | None:
    """The user's wish: at once if the job waits, at the next step if it runs, nothing if it is over."""
    mine = (Job.project_id == project_id, Job.id == job_id)
    job = session.scalars(select(Job).where(*mine).with_for_update()).first()
    if job is None:
        return None
    if job.status not in TERMINAL and job.cancel_requested_at is None:
        job.cancel_requested_at = now(session)
        if job.status is State.QUEUED:
            _end(session, job, State.CANCELED)
    return job


def reap(session: Session, *, max_attempts: int, limit: int = 100) -> int:
    """Bring back jobs whose lease ran out; those that had their attempts fail as `worker_lost`. The number found."""
    expired = (
        select(Job)
        .where(Job.state == State.RUNNING, Job.lease_until < func.clock_timestamp())
        .order_by(Job.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    lost = list(session.scalars(expired))
    for job in lost:
        if job.cancel_requested_at is not None:
            _end(session, job, State.CANCELED)
        elif job.attempt >= max_attempts:
            _fail(session, job, "worker_lost", f"{job.attempt} workers in a row stopped answering while they had it")
        else:
            _requeue(session, job, charge=True)
    return len(lost)


def ring_stranded(session: Session, kind: Kind, *, seconds: float, limit: int = 8) -> int:
    """Announce again what was last announced more than `seconds` ago: the message may be lost. The number.

    Only the `limit` oldest that wait: while every worker is busy, messages must not pile up for a long queue.
    """
    oldest = select(Job.id).where(Job.state == State.QUEUED, Job.kind == kind).order_by(Job.created_at).limit(limit)
    long_ago = func.clock_timestamp() - timedelta(seconds=seconds)
    query = (
        select(Job)
        .where(Job.id.in_(oldest.scalar_subquery()), Job.state == State.QUEUED, Job.rung_at < long_ago)
        .where(~exists().where(outbox.Entry.identifier == Job.id))
        .with_for_update(skip_locked=True)
    )
    stranded = list(session.scalars(query))
    for job in stranded:
        job.rung_at = now(session)
        outbox.add(session, _task(job), job.id)
    return len(stranded)


def _task(job: Job) -> str:
    return f"lipe.{job.kind}"


def _held(claim: Claim) -> tuple[Any, ...]:
    return Job.id == claim.job_id, Job.epoch == claim.epoch, Job.state == State.RUNNING


def _lock_held(session: Session, claim: Claim) -> Job | None:
    return session.scalars(select(Job).where(*_held(claim)).with_for_update()).first()


def _requeue(session: Session, job: Job, *, charge: bool) -> None:
    check(job.status, State.QUEUED)
    job.state, job.lease_until, job.worker = State.QUEUED, None, None
    job.attempt = job.attempt if charge else job.attempt - 1
    job.queued_at = job.rung_at = now(session)
    _record(session, job, State.QUEUED)
    outbox.add(session, _task(job), job.id)


def _fail(session: Session, job: Job, code: str, detail: str) -> None:
    job.error_code, job.error_detail = code, detail
    _end(session, job, State.FAILED)


def _end(session: Session, job: Job, state: State) -> None:
    check(job.status, state)
    job.state, job.lease_until, job.finished_at = state, None, now(session)
    _record(session, job, state)


def _record(session: Session, job: Job, state: State) -> None:
    """The event of a change of state, numbered; a terminal one goes out to the webhooks, too."""
    terminal = state in TERMINAL
    session.flush()
    job.sequence = job.sequence + 1
    data: dict[str, Any] = {"job_id": job.id, "status": str(state), "attempt": job.attempt}
    if job.error_code is not None:
        data["error"] = {"code": job.error_code, "detail": job.error_detail}
    session.add(
        Event(
            project_id=job.project_id,
            job_id=job.id,
            sequence=job.sequence,
            type=f"{job.kind}.{state}",
            data=data,
            terminal=terminal,
        )
    )
    session.flush()
    if terminal:
        about = data | {
            "kind": job.kind,
            "subject_id": job.subject_id,
            "prior_id": job.prior_id,
            "edit_id": job.edit_id,
            "metadata": job.user_metadata,
        }
        webhooks.announce(session, job.project_id, job.id, f"{job.kind}.{state}", about, job.webhook_url)
