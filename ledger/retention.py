"""Retention: rows that are older than the operator keeps them. They are erased as a user would erase them.

Nothing is erased while the settings are 0. A prior that succeeded, its subject and its references stay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from ledger import erasures
from ledger.database import UnitOfWork, now, repeat_conflicts
from ledger.erasures import InUse
from ledger.models import Edit, Erasure, Image, Job, Prior, Reference
from ledger.settings import Settings
from ledger.states import TERMINAL

Kind = Literal["edit", "image", "prior"]
LIMIT = 100


@dataclass(frozen=True)
class Old:
    """A resource to erase; `since` is the end of its newest job, or the time of its upload."""

    kind: Kind
    project_id: str
    id: str
    since: datetime


ERASE: Mapping[Kind, Callable[[Session, str, str], Erasure | None]] = {
    "edit": erasures.erase_edit,
    "image": erasures.erase_image,
    "prior": erasures.erase_prior,
}


def list_old(session: Session, settings: Settings, *, limit: int | None = LIMIT) -> list[Old]:
    """The resources to erase at present, the oldest of each kind first, at most `limit` of each kind."""
    queries: list[tuple[Kind, float, Callable[[datetime], Select[str, str, Any]]]] = [
        ("edit", settings.retention_edit_days, _edits),
        ("prior", settings.retention_failed_prior_days, _failed_priors),
        ("image", settings.retention_image_days, _images),
    ]
    present, found = now(session), list[Old]()
    for kind, days, query in queries:
        if days:
            rows = session.execute(query(present - timedelta(days=days)).limit(limit))
            found += [Old(kind, *row) for row in rows]
    return found


def erase_old(begin: UnitOfWork, settings: Settings) -> int:
    """Erase up to LIMIT resources of each kind. Returns their number. The erasures' objects are deleted later."""
    if not (settings.retention_edit_days or settings.retention_failed_prior_days or settings.retention_image_days):
        return 0
    with begin() as session:
        old = list_old(session, settings)
    return sum(repeat_conflicts(partial(_erase, begin, one)) for one in old)


def _erase(begin: UnitOfWork, old: Old) -> bool:
    """Erase one resource, unless it is in use by now. True if it was erased."""
    try:
        with begin() as session:
            return ERASE[old.kind](session, old.project_id, old.id) is not None
    except InUse:
        return False


def _edits(before: datetime) -> Select[str, str, Any]:
    newest = _newest_end(Job.edit_id == Edit.id)
    unfinished = select(Job.id).where(Job.edit_id == Edit.id, Job.state.not_in(TERMINAL))
    query = select(Edit.project_id, Edit.id, newest).where(Edit.created_at < before, newest < before)
    return query.where(~unfinished.exists()).order_by(Edit.created_at)


def _failed_priors(before: datetime) -> Select[str, str, Any]:
    newest = _newest_end(Job.prior_id == Prior.id, Job.kind == "prior")
    unfinished = select(Job.id).where(Job.prior_id == Prior.id, Job.state.not_in(TERMINAL))
    query = select(Prior.project_id, Prior.id, newest).where(Prior.ready_at.is_(None), Prior.created_at < before)
    return query.where(newest < before, ~unfinished.exists()).order_by(Prior.created_at)


def _images(before: datetime) -> Select[str, str, Any]:
    users = (Reference.image_id, Edit.image_id, Edit.mask_image_id)
    unused = [~select(column).where(column == Image.id).exists() for column in users]
    query: Select[str, str, Any] = select(Image.project_id, Image.id, Image.created_at)
    return query.where(Image.created_at < before, *unused).order_by(Image.created_at)


def _newest_end(*mine: Any) -> Any:
    """The end of the resource's newest job."""
    return select(func.max(Job.finished_at)).where(*mine).scalar_subquery()
