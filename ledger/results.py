"""Lists of priors and edits, filtered by the newest job of each, and the warnings of these jobs."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ARRAY, ColumnElement, String, any_, literal, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from ledger.models import Edit, Job, Prior
from ledger.pages import NEWEST, Page, Window, newest
from ledger.states import JobKind, State


def edits(
    session: Session,
    project_id: str,
    window: Window = NEWEST,
    *,
    state: State | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Page[Edit]:
    """The project's edits whose newest job is in `state` and has all pairs of `metadata`, newest first."""
    query = select(Edit).where(Edit.project_id == project_id)
    if state is not None or metadata:
        query = query.where(_newest_job_matches(project_id, Edit.id, Job.edit_id, "edit", state, metadata))
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
    """The subject's priors whose newest job is in `state` and has all pairs of `metadata`, newest first."""
    query = select(Prior).where(Prior.project_id == project_id, Prior.subject_id == subject_id)
    if state is not None or metadata:
        query = query.where(_newest_job_matches(project_id, Prior.id, Job.prior_id, "prior", state, metadata))
    return newest(session, query, Prior, window)


def warnings_of_edits(session: Session, edit_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """The warnings of each edit's newest job, by one query. An edit without a job has no entry."""
    return _newest_warnings(session, Job.edit_id, "edit", edit_ids)


def warnings_of_priors(session: Session, prior_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """The warnings of each prior's newest training or import, by one query. A prior without a job has no entry."""
    return _newest_warnings(session, Job.prior_id, "prior", prior_ids)


def _newest_warnings(
    session: Session, job_result_id: InstrumentedAttribute[str | None], kind: JobKind, result_ids: Sequence[str]
) -> dict[str, list[dict[str, str]]]:
    mine = (job_result_id == any_(literal(list(result_ids), ARRAY(String))), Job.kind == kind)
    query = select(job_result_id, Job.warnings).where(*mine).ext(distinct_on(job_result_id))
    rows = session.execute(query.order_by(job_result_id, Job.created_at.desc()))
    return {result_id: warnings for result_id, warnings in rows if result_id is not None}


def _newest_job_matches(
    project_id: str,
    result_id: InstrumentedAttribute[str],
    job_result_id: InstrumentedAttribute[str | None],
    kind: JobKind,
    state: State | None,
    metadata: Mapping[str, str] | None,
) -> ColumnElement[bool]:
    """Whether the newest job of a result matches.

    A semi-join: the planner may start from the few jobs that match, or from the results.
    """
    newer = aliased(Job)
    retried = select(newer.id).where(
        getattr(newer, job_result_id.key) == job_result_id, newer.kind == kind, newer.created_at > Job.created_at
    )
    matches = [Job.project_id == project_id, Job.kind == kind, ~retried.exists()]
    if state is not None:
        matches.append(Job.state == state)
    if metadata:
        matches.append(Job.user_metadata.contains(metadata))
    return result_id.in_(select(job_result_id).where(*matches))
