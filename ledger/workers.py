"""The workers. Each reports itself again and again, so a killed worker is noticed without a message of its own."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ledger.models import Job, Worker
from ledger.states import JobKind, State

REPORT_SECONDS = 15.0
LIVE_SECONDS = 3 * REPORT_SECONDS
"""A worker that has not reported for this time is not live. Two reports may be late."""
REMEMBERED_SECONDS = 600.0
"""A worker that is not live is listed for so long, so that an operator sees that it was lost."""


class WorkerState(StrEnum):
    """What a worker does: it waits for a job, runs one, takes no more jobs, or does not report any more."""

    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    LOST = "lost"


@dataclass(frozen=True)
class ServedModel:
    """A model that live workers have loaded: its description by the workers, the jobs' kinds, the workers' number."""

    description: dict[str, Any]
    kinds: tuple[str, ...]
    workers: int


@dataclass(frozen=True)
class Facts:
    """The facts that a worker reports: its machine, version, GPU (None: the CPU), and the adapters in its memory."""

    host: str = ""
    version: str = ""
    gpu: str | None = None
    gpu_memory_bytes: int | None = None
    adapters: Sequence[str] = ()
    is_draining: bool = False


NO_FACTS = Facts()


@dataclass(frozen=True)
class ListedWorker:
    """A row of the list for operators; `pool` has its kinds, the shorter name for the queues that it serves."""

    name: str
    host: str
    version: str
    gpu: str | None
    gpu_memory_bytes: int | None
    kinds: list[str]
    base_model: str | None
    fingerprint: str | None
    adapters: list[str]
    state: WorkerState
    job_id: str | None
    seen_at: datetime

    @property
    def pool(self) -> str:
        """The kinds of jobs that it takes, as one word."""
        return "+".join(sorted(self.kinds))


def report(session: Session, name: str, kinds: Sequence[str], model: dict[str, Any], facts: Facts = NO_FACTS) -> None:
    """Write that this worker lives."""
    row = {
        **asdict(facts),
        "adapters": list(facts.adapters),
        "kinds": list(kinds),
        "model": model,
        "seen_at": func.clock_timestamp(),
    }
    session.execute(insert(Worker).values(name=name, **row).on_conflict_do_update(index_elements=["name"], set_=row))


def leave(session: Session, name: str) -> None:
    """Write that this worker has ended."""
    session.execute(delete(Worker).where(Worker.name == name))


def forget_lost(session: Session) -> int:
    """Delete the workers that have not reported for REMEMBERED_SECONDS. Returns their number."""
    before = func.clock_timestamp() - timedelta(seconds=REMEMBERED_SECONDS)
    return len(session.scalars(delete(Worker).where(Worker.seen_at < before).returning(Worker.name)).all())


def listing(session: Session) -> list[ListedWorker]:
    """All workers, by name, each with its state and the job that it runs."""
    running = select(Job.worker, func.max(Job.id).label("job_id")).where(Job.state == State.RUNNING)
    jobs = running.group_by(Job.worker).subquery()
    live = (Worker.seen_at >= _oldest()).label("live")
    rows = session.execute(
        select(Worker, jobs.c.job_id, live).outerjoin(jobs, jobs.c.worker == Worker.name).order_by(Worker.name)
    )
    return [_listed(worker, job_id, is_live=is_live) for worker, job_id, is_live in rows]


def _listed(worker: Worker, job_id: str | None, *, is_live: bool) -> ListedWorker:
    if not is_live:
        state = WorkerState.LOST
    elif worker.is_draining:
        state = WorkerState.DRAINING
    else:
        state = WorkerState.BUSY if job_id else WorkerState.IDLE
    return ListedWorker(
        name=worker.name,
        host=worker.host,
        version=worker.version,
        gpu=worker.gpu,
        gpu_memory_bytes=worker.gpu_memory_bytes,
        kinds=worker.kinds,
        base_model=worker.model.get("name"),
        fingerprint=worker.model.get("fingerprint"),
        adapters=worker.adapters,
        state=state,
        job_id=job_id,
        seen_at=worker.seen_at,
    )


def served_models(session: Session) -> list[ServedModel]:
    """The models of the live workers, by name. Workers with equal descriptions serve one model."""
    live = session.scalars(select(Worker).where(*_takes_jobs()).order_by(Worker.name)).all()
    models: list[dict[str, Any]] = []
    for worker in live:
        if worker.model not in models:
            models.append(worker.model)
    served = [_served(model, [worker for worker in live if worker.model == model]) for model in models]
    return sorted(served, key=lambda model: (str(model.description.get("name")), str(model.description)))


def is_served(kind: JobKind, base_model: SQLColumnExpression[str | None]) -> ColumnElement[bool]:
    """Condition: a live worker takes jobs of this kind that need this base model (NULL: any)."""
    fits = or_(base_model.is_(None), _fingerprint() == base_model)
    return select(Worker).where(*_live(kind), fits).exists()


def takes(kind: JobKind) -> ColumnElement[bool]:
    """Condition: a live worker takes jobs of this kind."""
    return select(Worker).where(*_live(kind)).exists()


def has_loaded(kind: JobKind, base_model: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Condition: a live worker takes jobs of this kind and has loaded this base model."""
    return select(Worker).where(*_live(kind), _fingerprint() == base_model).exists()


def _live(kind: JobKind) -> tuple[ColumnElement[bool], ...]:
    return *_takes_jobs(), Worker.kinds.contains([kind])


def _takes_jobs() -> tuple[ColumnElement[bool], ...]:
    return Worker.seen_at >= _oldest(), Worker.is_draining.is_(False)


def _fingerprint() -> ColumnElement[str]:
    fingerprint: ColumnElement[str] = Worker.model["fingerprint"].astext
    return fingerprint


def _served(model: dict[str, Any], workers: Sequence[Worker]) -> ServedModel:
    kinds = sorted({kind for worker in workers for kind in worker.kinds})
    return ServedModel(model, tuple(kinds), len(workers))


def _oldest() -> Any:
    return func.clock_timestamp() - timedelta(seconds=LIVE_SECONDS)
