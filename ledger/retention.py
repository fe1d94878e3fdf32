"""Retention: rows that are older than the operator keeps them. They are erased as a user would erase them.

Nothing is erased while the settings are 0. A prior that succeeded, its subject and its references stay. A study keeps
its edits and images until it is erased itself.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from ledger import erasures
from ledger.database import UnitOfWork, now, repeat_conflicts
from ledger.erasures import InUse
from ledger.models import Edit, Erasure, Image, Job, Prior, Reference, Study, StudyImage
from ledger.settings import Settings
from ledger.states import TERMINAL

Kind = Literal["edit", "image", "prior", "study"]
LIMIT = 200
"""Resources of one kind in a batch."""


@dataclass(frozen=True)
class Old:
    """A resource to erase.

    `since` is the end of its newest job, the time of its upload, or that at which a study was closed.
    """

    kind: Kind
    project_id: str
    id: str
    since: datetime


ERASE: Mapping[Kind, Callable[[Session, str, Sequence[str]], Erasure | None]] = {
    "edit": erasures.erase_edits,
    "image": lambda session, project_id, ids: erasures.erase_image(session, project_id, *ids),
    "prior": lambda session, project_id, ids: erasures.erase_prior(session, project_id, *ids),
    "study": lambda session, project_id, ids: erasures.erase_study(session, project_id, *ids),
}


def list_old(session: Session, settings: Settings, *, limit: int | None = None) -> list[Old]:
    """The resources to erase at present, the oldest of each kind first, at most `limit` of each kind."""
    queries: list[tuple[Kind, float, Callable[[datetime], Select[str, str, Any]]]] = [
        ("study", settings.retention_study_days, _studies),
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


def erase_old(begin: UnitOfWork, settings: Settings, *, seconds: float = 0.0) -> int:
    """Erase what is old, in batches, until nothing is left or `seconds` have passed. Returns the number of resources.

    At least one batch is erased. The erasures' objects are deleted later.
    """
    days = (settings.retention_edit_days, settings.retention_failed_prior_days, settings.retention_image_days)
    if not any((*days, settings.retention_study_days)):
        return 0
    deadline, erased = time.monotonic() + seconds, 0
    while True:
        with begin() as session:
            old = list_old(session, settings, limit=LIMIT)
        batch = sum(repeat_conflicts(partial(_erase, begin, group)) for group in _groups(old))
        erased += batch
        # Resources that are in use again are listed and not erased.
        if not batch or len(old) < LIMIT or time.monotonic() >= deadline:
            return erased


def _groups(old: Sequence[Old]) -> list[list[Old]]:
    """What one transaction erases: the edits of a project, since there are many, or one other resource."""
    edits: dict[str, list[Old]] = {}
    for one in old:
        if one.kind == "edit":
            edits.setdefault(one.project_id, []).append(one)
    return [*edits.values(), *([one] for one in old if one.kind != "edit")]


def _erase(begin: UnitOfWork, group: Sequence[Old]) -> int:
    """Erase the group, unless it is in use by now. Returns the number of erased resources."""
    kind, project_id, ids = group[0].kind, group[0].project_id, [one.id for one in group]
    try:
        with begin() as session:
            erasure = ERASE[kind](session, project_id, ids)
            return len(set(ids) & set(erasure.erased)) if erasure is not None else 0
    except InUse:
        return 0


def _edits(before: datetime) -> Select[str, str, Any]:
    newest = _newest_end(Job.edit_id == Edit.id)
    unfinished = select(Job.id).where(Job.edit_id == Edit.id, Job.state.not_in(TERMINAL))
    query = select(Edit.project_id, Edit.id, newest).where(Edit.created_at < before, newest < before)
    studied = select(StudyImage.id).where(StudyImage.edit_id == Edit.id)
    return query.where(~unfinished.exists(), ~studied.exists()).order_by(Edit.created_at)


def _failed_priors(before: datetime) -> Select[str, str, Any]:
    newest = _newest_end(Job.prior_id == Prior.id, Job.kind == "prior")
    unfinished = select(Job.id).where(Job.prior_id == Prior.id, Job.state.not_in(TERMINAL))
    query = select(Prior.project_id, Prior.id, newest).where(Prior.ready_at.is_(None), Prior.created_at < before)
    return query.where(newest < before, ~unfinished.exists()).order_by(Prior.created_at)


def _images(before: datetime) -> Select[str, str, Any]:
    users = (Reference.image_id, Edit.image_id, Edit.mask_image_id, StudyImage.image_id)
    unused = [~select(column).where(column == Image.id).exists() for column in users]
    query: Select[str, str, Any] = select(Image.project_id, Image.id, Image.created_at)
    return query.where(Image.created_at < before, *unused).order_by(Image.created_at)


def _studies(before: datetime) -> Select[str, str, Any]:
    query: Select[str, str, Any] = select(Study.project_id, Study.id, Study.closed_at)
    return query.where(Study.closed_at < before).order_by(Study.closed_at)


def _newest_end(*mine: Any) -> Any:
    """The end of the resource's newest job."""
    return select(func.max(Job.finished_at)).where(*mine).scalar_subquery()
