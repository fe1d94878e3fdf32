"""Lists of what jobs make, priors and edits, by how the newest job of each stands."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from ledger.edits import Edit
from ledger.jobs import Job, Kind
from ledger.pages import NEWEST, Page, Window, newest
from ledger.priors import Prior
from ledger.states import State


def edits(
    session: Session,
    project_id: str,
    window: Window = NEWEST,
    *,
    state: State | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Page[Edit]:
    """The project's edits, newest first; of those whose newest job is in `state` and has all pairs of `metadata`."""
    query = select(Edit).where(Edit.project_id == project_id)
    if state is not None or metadata:
        query = query.where(_newest_job_fits(project_id, Edit.id, Job.edit_id, "edit", state, metadata))
    return newest(session, query, Edit, window)


def priors(
    session: Session,
    project_id: str,
    subject_id: str,
    window: Window = NEWEST,
    *,
    state: State | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Page[Prior]:
    """The subject's priors, newest first; of those whose newest job is in `state` and has all pairs of `metadata`."""
    query = select(Prior).where(Prior.project_id == project_id, Prior.subject_id == subject_id)
    if state is not None or metadata:
        query = query.where(_newest_job_fits(project_id, Prior.id, Job.prior_id, "prior", state, metadata))
    return newest(session, query, Prior, window)


def _newest_job_fits(
    project_id: str,
    result: InstrumentedAttribute[str],
    made: InstrumentedAttribute[str | None],
    kind: Kind,
    state: State | None,
    metadata: Mapping[str, str] | None,
) -> ColumnElement[bool]:
    """A semi-join: the few jobs that fit may lead to their results, or many results each to its job."""
    newer = aliased(Job)
    retried = select(newer.id).where(
        getattr(newer, made.key) == made, newer.kind == kind, newer.created_at > Job.created_at
    )
    fits = [Job.project_id == project_id, Job.kind == kind, ~retried.exists()]
    if state is not None:
        fits.append(Job.state == state)
    if metadata:
        fits.append(Job.user_metadata.contains(metadata))
    return result.in_(select(made).where(*fits))
