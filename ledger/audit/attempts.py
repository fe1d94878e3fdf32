"""Invariant 2: at most one attempt of a job is effective; each claim increments the epoch, later writes check it."""

from collections.abc import Iterator

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from ledger.audit.violation import Bounds, Violation
from ledger.models import Artefact, Event, Job
from ledger.states import TERMINAL, TRANSITIONS, State
from ledger.storage import attempt_prefix

LEGAL = [(before, after) for before, following in TRANSITIONS.items() for after in following]


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Claims that did not increment the epoch, illegal transitions, and artefacts of other attempts."""
    claims = func.count(Event.id)
    claimed = (
        select(Job.id, Job.epoch, claims)
        .outerjoin(Event, (Event.job_id == Job.id) & (Event.type == func.concat(Job.kind, f".{State.RUNNING}")))
        .group_by(Job.id)
        .having(claims != Job.epoch)
    )
    for job_id, epoch, count in session.execute(claimed):
        yield Violation(2, f"job {job_id}", f"was claimed {count} times, but its epoch is {epoch}")

    status = Event.data["status"].astext
    previous = func.lag(status).over(partition_by=Event.job_id, order_by=Event.sequence)
    changes = Event.data.has_key("status")  # events of warnings have no state
    steps = select(Event.job_id, previous.label("before"), status.label("after")).where(changes).subquery()
    follows_an_end = steps.c.before.in_(TERMINAL)  # invariant 3
    illegal = select(steps).where(
        func.coalesce(steps.c.before, "") != "", ~tuple_(steps.c.before, steps.c.after).in_(LEGAL), ~follows_an_end
    )
    for job_id, before, after in session.execute(illegal):
        yield Violation(2, f"job {job_id}", f"went from {before} to {after}, which is not a legal transition")

    written = select(Artefact.id, Artefact.role, Artefact.key, Job).join(Job, Job.id == Artefact.job_id)
    for artefact_id, role, key, job in session.execute(written):
        project_id, job_id, epoch = job.project_id, job.id, job.epoch
        # An edit keeps the results that its earlier attempts stored, a training its snapshots (`partial_results`).
        first = 1 if job.kind == "edit" or role == "snapshot" else epoch
        if not any(key.startswith(attempt_prefix(project_id, job_id, own)) for own in range(first, epoch + 1)):
            yield Violation(
                2, f"artefact {artefact_id}", f"of job {job_id} does not belong to its attempt {epoch}: {key}"
            )
