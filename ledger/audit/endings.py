"""Invariant 3: terminal states are final; exactly one terminal event per job."""

from collections.abc import Iterator

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from ledger.audit.violation import Bounds, Violation
from ledger.models import Event, Job
from ledger.states import TERMINAL


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Ended jobs without their terminal event, terminal events of other jobs, and events that follow a terminal one."""
    end = and_(Event.job_id == Job.id, Event.terminal)
    ended = select(Job, Event).outerjoin(Event, end).where(Job.state.in_(TERMINAL))
    for job, event in session.execute(ended):
        for fault in _faults(job, event):
            yield Violation(3, f"job {job.id}", fault)

    unfinished = select(Job, Event).join(Event, end).where(Job.state.not_in(TERMINAL))
    for job, event in session.execute(unfinished):
        yield Violation(3, f"job {job.id}", f"is {job.state} after its terminal event {event.type}")

    last = select(func.min(Event.sequence)).where(end).correlate(Job).scalar_subquery()
    late = select(Job.id, Event.type).join(Event, Event.job_id == Job.id).where(Event.sequence > last)
    for job_id, kind in session.execute(late):
        yield Violation(3, f"job {job_id}", f"has the event {kind} after its terminal one")


def _faults(job: Job, event: Event | None) -> Iterator[str]:
    if event is None:
        yield f"is {job.state}, but has no terminal event"
    elif event.type != f"{job.kind}.{job.state}":
        yield f"is {job.state}, but its terminal event is {event.type}"
    elif event.sequence != job.sequence:
        yield f"went on to event number {job.sequence} after its terminal event, number {event.sequence}"
    if job.finished_at is None:
        yield f"is {job.state}, but has no `finished_at`"
    if job.lease is not None or job.lease_until is not None:
        yield f"is {job.state}, but is still leased to {job.worker}"
