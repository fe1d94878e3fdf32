"""Queries over all projects for the operator's monitoring: queues, outbox, projects, and Postgres itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from ledger import leases, workers
from ledger.models import Delivery, Job, KindUsage, KnownModel, OutboxEntry, Project
from ledger.states import JOB_KINDS, TERMINAL, State
from ledger.usage import TODAY

MOST_PROJECTS = 100
"""So many projects have metrics of their own: those with most. Each is a time series for ever."""
UNFINISHED = tuple(state for state in State if state not in TERMINAL)


@dataclass(frozen=True)
class Queue:
    """The jobs of one kind and non-terminal state: their number, and the seconds since the oldest was queued."""

    kind: str
    state: str
    depth: int
    oldest_seconds: float


@dataclass(frozen=True)
class Outbox:
    """The number of unpublished notifications, and the age of the oldest in seconds."""

    depth: int
    oldest_seconds: float


class Unserved(NamedTuple):
    """Queued jobs that no live worker can do. `base_model`: its name, or its fingerprint; "" for jobs of any."""

    kind: str
    base_model: str
    depth: int


class ProjectQueue(NamedTuple):
    """The unfinished jobs of one project in one state."""

    project_id: str
    name: str
    state: str
    depth: int


class ProjectSeconds(NamedTuple):
    """The GPU seconds of one project on the present day (UTC)."""

    project_id: str
    name: str
    seconds: float


class Postgres(NamedTuple):
    """The server's own counts for this database."""

    connections: int
    max_connections: int
    bytes: int
    commits: int
    rollbacks: int
    deadlocks: int


class Table(NamedTuple):
    """A table's counts; `hot_updates` needed no change of an index."""

    name: str
    dead_rows: int
    updates: int
    hot_updates: int


def queues(session: Session) -> list[Queue]:
    """The queues that have at least one job."""
    age = func.coalesce(func.extract("epoch", func.clock_timestamp() - func.min(Job.queued_at)), 0)
    found = []
    for state in UNFINISHED:  # a partial index for each
        query = select(Job.kind, func.count(), age).where(Job.state == state).group_by(Job.kind)
        found += [Queue(kind, state, depth, float(seconds)) for kind, depth, seconds in session.execute(query)]
    return found


def unserved(session: Session) -> list[Unserved]:
    """The queued jobs that no live worker can do, by kind and base model."""
    # Grouped first, so that the workers are compared with a few rows and not with each job of a long queue.
    waits = (
        select(Job.kind, Job.base_model, func.count().label("depth"))
        .where(Job.state == State.QUEUED)
        .group_by(Job.kind, Job.base_model)
        .subquery()
    )
    is_served = or_(
        *((waits.c.kind == kind) & workers.is_served(kind, waits.c.base_model) for kind in JOB_KINDS),
    )
    name = func.coalesce(KnownModel.name, waits.c.base_model, "")
    query = (
        select(waits.c.kind, name, func.sum(waits.c.depth))
        .outerjoin(KnownModel, KnownModel.fingerprint == waits.c.base_model)
        .where(~is_served)
        .group_by(waits.c.kind, name)
        .order_by(waits.c.kind, name)
    )
    return [Unserved(kind, base_model, int(depth)) for kind, base_model, depth in session.execute(query)]


def expired_leases(session: Session) -> int:
    """The number of running jobs whose lease has ended and that the reaper has not handled yet."""
    late = leases.of_running().where(leases.until() < func.clock_timestamp())
    return session.scalar(late.with_only_columns(func.count())) or 0


def undelivered_webhooks(session: Session) -> int:
    """The number of deliveries that their receivers have not accepted yet."""
    return session.scalar(select(func.count()).select_from(Delivery).where(Delivery.state == "pending")) or 0


def outbox(session: Session) -> Outbox:
    """The notifications that the broker has not accepted yet."""
    age = func.coalesce(func.extract("epoch", func.clock_timestamp() - func.min(OutboxEntry.created_at)), 0)
    depth, seconds = session.execute(select(func.count(), age).select_from(OutboxEntry)).one()
    return Outbox(depth, float(seconds))


def projects(session: Session) -> list[ProjectQueue]:
    """The MOST_PROJECTS projects with most queued jobs, and those with most running ones."""
    found = []
    for state in UNFINISHED:
        query = (
            select(Project.id, Project.name, func.count())
            .join(Job, Job.project_id == Project.id)
            .where(Job.state == state)
            .group_by(Project.id, Project.name)
            .order_by(func.count().desc(), Project.id)
            .limit(MOST_PROJECTS)
        )
        found += [ProjectQueue(*row[:2], state, row[2]) for row in session.execute(query)]
    return found


def gpu_seconds_today(session: Session) -> list[ProjectSeconds]:
    """The MOST_PROJECTS projects that used most GPU time today."""
    seconds = func.sum(KindUsage.gpu_seconds)
    query = (
        select(Project.id, Project.name, seconds)
        .join(KindUsage, KindUsage.project_id == Project.id)
        .where(KindUsage.day == TODAY)
        .group_by(Project.id, Project.name)
        .order_by(seconds.desc(), Project.id)
        .limit(MOST_PROJECTS)
    )
    return [ProjectSeconds(*row) for row in session.execute(query)]


def postgres(session: Session) -> Postgres:
    """The server's counts. Every role may read them."""
    row: Sequence[Any] = session.execute(
        text(
            "SELECT numbackends, current_setting('max_connections')::int, pg_database_size(datname), xact_commit, "
            "xact_rollback, deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
    ).one()
    return Postgres(*row)


def tables(session: Session) -> list[Table]:
    """The counts of all tables."""
    rows = session.execute(
        text("SELECT relname, n_dead_tup, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables ORDER BY relname")
    )
    return [Table(*row) for row in rows]
