"""The live workers. Each reports itself again and again, so a killed worker disappears without a message of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ledger.models import Worker
from ledger.states import JobKind

REPORT_SECONDS = 15.0
LIVE_SECONDS = 3 * REPORT_SECONDS
"""A worker that has not reported for this time is not live. Two reports may be late."""


@dataclass(frozen=True)
class ServedModel:
    """A model that live workers have loaded: its description by the workers, the jobs' kinds, the workers' number."""

    description: dict[str, Any]
    kinds: tuple[str, ...]
    workers: int


def report(session: Session, name: str, kinds: Sequence[str], model: dict[str, Any]) -> None:
    """Write that this worker lives, and forget those that do not."""
    session.execute(delete(Worker).where(Worker.seen_at < _oldest()))
    row = {"kinds": list(kinds), "model": model, "seen_at": func.clock_timestamp()}
    session.execute(insert(Worker).values(name=name, **row).on_conflict_do_update(index_elements=["name"], set_=row))


def leave(session: Session, name: str) -> None:
    """Write that this worker takes no more jobs."""
    session.execute(delete(Worker).where(Worker.name == name))


def served_models(session: Session) -> list[ServedModel]:
    """The models of the live workers, by name. Workers with equal descriptions serve one model."""
    live = session.scalars(select(Worker).where(Worker.seen_at >= _oldest()).order_by(Worker.name)).all()
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


def has_loaded(kind: JobKind, base_model: ColumnElement[str]) -> ColumnElement[bool]:
    """Condition: a live worker takes jobs of this kind and has loaded this base model."""
    return select(Worker).where(*_live(kind), _fingerprint() == base_model).exists()


def _live(kind: JobKind) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Worker.seen_at >= _oldest(), Worker.kinds.contains([kind])


def _fingerprint() -> ColumnElement[str]:
    fingerprint: ColumnElement[str] = Worker.model["fingerprint"].astext
    return fingerprint


def _served(model: dict[str, Any], workers: Sequence[Worker]) -> ServedModel:
    kinds = sorted({kind for worker in workers for kind in worker.kinds})
    return ServedModel(model, tuple(kinds), len(workers))


def _oldest() -> Any:
    return func.clock_timestamp() - timedelta(seconds=LIVE_SECONDS)
