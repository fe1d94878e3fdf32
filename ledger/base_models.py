"""The base models that workers of this service have loaded, now or before.

A pool of workers may have no live worker, because it scales to zero: a request may name its base model all the same,
and its job waits. No project owns a base model.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ledger import workers
from ledger.models import KnownModel
from ledger.states import JobKind


@dataclass(frozen=True)
class BaseModel:
    """A base model: its name for users, the fingerprint of its weights, and its family of networks."""

    name: str
    fingerprint: str
    family: str


def remember(session: Session, description: dict[str, Any]) -> None:
    """Write the base model that a worker describes, unless it is known. A description without a fingerprint is none."""
    row = {key: str(description.get(key) or "") for key in ("fingerprint", "name", "family")}
    if not row["fingerprint"]:
        return
    new = insert(KnownModel).values(**row)
    is_other = or_(KnownModel.name != new.excluded.name, KnownModel.family != new.excluded.family)
    names = {"name": new.excluded.name, "family": new.excluded.family}
    # Without a change nothing is written: every worker of a large pool comes here every 15 seconds.
    session.execute(new.on_conflict_do_update(index_elements=["fingerprint"], set_=names, where=is_other))


def find(session: Session, wanted: str, kind: JobKind) -> BaseModel | None:
    """The base model of this name or fingerprint.

    Of several weights with one name it is the one that a live worker takes jobs of this kind with, or the newest.
    """
    fits = workers.has_loaded(kind, KnownModel.fingerprint)
    query = select(KnownModel).where(or_(KnownModel.fingerprint == wanted, KnownModel.name == wanted))
    row = session.scalars(query.order_by(fits.desc(), KnownModel.created_at.desc()).limit(1)).first()
    return None if row is None else BaseModel(row.name, row.fingerprint, row.family)


def served(session: Session, kind: JobKind) -> list[BaseModel]:
    """The base models with which live workers take jobs of this kind, by name."""
    query = select(KnownModel).where(workers.has_loaded(kind, KnownModel.fingerprint))
    rows = session.scalars(query.order_by(KnownModel.name, KnownModel.fingerprint))
    return [BaseModel(row.name, row.fingerprint, row.family) for row in rows]


def names(session: Session) -> list[str]:
    """The names of all known base models."""
    return list(
        session.scalars(select(KnownModel.name).group_by(KnownModel.name).order_by(func.lower(KnownModel.name)))
    )
