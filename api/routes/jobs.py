"""Jobs: trainings and edits in progress. Clients follow a job by polling, events or webhooks."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy.orm import Session

from api import job_events, problems
from api.auth import Caller, CallerDep
from api.fields import PathId
from api.filters import METADATA_PARAMETER, MetadataFilter, StatusFilter
from api.idempotency import IdempotencyDep, IdempotentRequest
from api.job_body import JobBody, etag
from api.job_watch import Position
from api.pagination import Listing, PageDep, listing
from api.problems import Problem, problem_responses
from api.service import Service, ServiceDep
from api.submission import JOB_PROBLEMS, WaitDep, submit_job
from ledger import jobs, retries, waiting
from ledger.models import Job
from ledger.states import TERMINAL, JobKind
from ledger.waiting import Waiting

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("", operation_id="list_jobs", response_model=Listing[JobBody], openapi_extra=METADATA_PARAMETER)
def list_jobs(
    service: ServiceDep,
    caller: CallerDep,
    window: PageDep,
    metadata: MetadataFilter,
    status: StatusFilter = None,
    kind: Annotated[JobKind | None, Query(description="Only trainings, only edits, or only captions.")] = None,
) -> Any:
    """The project's jobs, newest first."""
    with service.begin() as session:
        page = jobs.listing(session, caller.project_id, window, state=status, kind=kind, metadata=metadata)
        reasons = _waiting(service, session, caller, page.rows)
        return listing(page, lambda job: JobBody.of(service, job, reasons.get(job.id)))


@router.get(
    "/{job_id}",
    operation_id="get_job",
    response_model=JobBody,
    responses={
        **problem_responses("not_found"),
        304: {"description": "The job has not changed since the `If-None-Match` tag."},
    },
)
def get_job(
    job_id: PathId,
    service: ServiceDep,
    caller: CallerDep,
    response: Response,
    if_none_match: Annotated[
        str | None,
        Header(description="`ETag` of an earlier answer: the answer is 304, without a body, if nothing changed."),
    ] = None,
) -> Any:
    """One job."""
    with service.begin() as session:
        job = jobs.get(session, caller.project_id, job_id)
        if job is None:
            raise problems.not_found("job", job_id)
        reason = _waiting(service, session, caller, [job]).get(job.id)
        headers = {"ETag": etag(job, reason), "Cache-Control": "private, no-cache"}
        if if_none_match is not None and etag(job, reason) in if_none_match:
            return Response(status_code=304, headers=headers)
        response.headers.update(headers)
        return JobBody.of(service, job, reason)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    operation_id="cancel_job",
    response_model=JobBody,
    responses=problem_responses("not_found"),
)
def cancel_job(job_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """Cancel a job: at once if it is queued, at its next step if it runs. A job that has ended keeps its state."""
    with service.begin() as session:
        job = jobs.cancel(session, caller.project_id, job_id)
        if job is None:
            raise problems.not_found("job", job_id)
        return JobBody.of(service, job)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    operation_id="retry_job",
    response_model=JobBody,
    responses=problem_responses(*JOB_PROBLEMS, "job_not_retryable"),
)
async def retry_job(job_id: PathId, request: Request, idempotent: IdempotencyDep, wait: WaitDep) -> Response:
    """Create a new job with the parameters of one that failed, was canceled or expired."""
    create_job = partial(_retry, idempotent, job_id, request.state.request_id)
    return await submit_job(idempotent, create_job, wait)


@router.get(
    "/{job_id}/events",
    operation_id="follow_job",
    response_class=job_events.JobEvents,
    responses={
        200: {"description": "Each event's `data` is an EventBody.", "model": job_events.EventBody},
        204: {"description": "The job has ended, and `Last-Event-ID` is its last event: do not reconnect."},
        **problem_responses("not_found", "too_many_streams"),
    },
)
def follow_job(
    job_id: PathId,
    service: ServiceDep,
    caller: CallerDep,
    last_event_id: Annotated[
        int, Header(ge=0, lt=2**31, description="Number of the last event that you received.")
    ] = 0,
) -> Response:
    """The job's events, as they happen, until it ends."""
    with service.begin() as session:
        job = jobs.get(session, caller.project_id, job_id)
    if job is None:
        raise problems.not_found("job", job_id)
    if last_event_id > job.newest_number:
        detail = (
            f"{job_id} has no event {last_event_id}, its newest is {job.newest_number}: send the last that you received"
        )
        raise problems.invalid(detail, param="last-event-id")
    if job.status in TERMINAL and job.sequence == last_event_id:
        return Response(status_code=204)
    return job_events.stream(service, Position(caller.project_id, job_id, last_event_id))


def _waiting(service: Service, session: Session, caller: Caller, rows: Sequence[Job]) -> dict[str, Waiting]:
    return waiting.of_jobs(session, caller.project_id, rows, max_running=service.settings.max_running_jobs)


def _retry(idempotent: IdempotentRequest, job_id: str, request_id: str, session: Session) -> Job:
    try:
        job = retries.retry(
            session, idempotent.project_id, job_id, request_id=request_id, idempotency_key=idempotent.key
        )
    except retries.NotRetryable as error:
        raise Problem("job_not_retryable", f"{job_id} cannot be retried: {error}") from error
    if job is None:
        raise problems.not_found("job", job_id)
    return job
