"""Jobs: one state machine for priors and edits. Follow one by polling, by events or by webhooks."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy.orm import Session

from api import job_events, problems
from api.auth import CallerDep
from api.fields import PathId
from api.filters import METADATA, Status, WithMetadata
from api.idempotency import Creating
from api.job_body import JobBody, etag
from api.pagination import Listing, Paging, listing
from api.problems import Problem, documented
from api.service import ServiceDep
from api.submission import REFUSALS, Waiting, submitted
from ledger import jobs, retries
from ledger.models import Job
from ledger.states import TERMINAL, JobKind

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("", operation_id="list_jobs", response_model=Listing[JobBody], openapi_extra=METADATA)
def list_jobs(
    service: ServiceDep,
    me: CallerDep,
    window: Paging,
    metadata: WithMetadata,
    status: Status = None,
    kind: Annotated[JobKind | None, Query(description="Only trainings, or only edits.")] = None,
) -> Any:
    """The project's jobs, newest first."""
    with service.begin() as session:
        page = jobs.listing(session, me.project_id, window, state=status, kind=kind, metadata=metadata)
        return listing(page, partial(JobBody.of, service))


@router.get(
    "/{job_id}",
    operation_id="get_job",
    response_model=JobBody,
    responses={**documented("not_found"), 304: {"description": "It is what `If-None-Match` names."}},
)
def get_job(
    job_id: PathId,
    service: ServiceDep,
    me: CallerDep,
    response: Response,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Any:
    """One job."""
    with service.begin() as session:
        job = jobs.get(session, me.project_id, job_id)
        if job is None:
            raise problems.not_found("job", job_id)
        headers = {"ETag": etag(job), "Cache-Control": "private, no-cache"}
        if if_none_match is not None and etag(job) in if_none_match:
            return Response(status_code=304, headers=headers)
        response.headers.update(headers)
        return JobBody.of(service, job)


@router.post(
    "/{job_id}/cancel", status_code=202, operation_id="cancel_job", response_model=JobBody,
    responses=documented("not_found"),
)  # fmt: skip
def cancel_job(job_id: PathId, service: ServiceDep, me: CallerDep) -> Any:
    """Stop a job: at once if it waits, at its next step if it runs. A job that is over stays what it is."""
    with service.begin() as session:
        job = jobs.cancel(session, me.project_id, job_id)
        if job is None:
            raise problems.not_found("job", job_id)
        return JobBody.of(service, job)


@router.post(
    "/{job_id}/retry", status_code=202, operation_id="retry_job", response_model=JobBody,
    responses=documented(*REFUSALS, "job_not_retryable"),
)  # fmt: skip
async def retry_job(job_id: PathId, request: Request, once: Creating, wait: Waiting) -> Response:
    """A new job with the same parameters, for one that failed, was canceled or expired."""

    def make(session: Session) -> Job:
        try:
            job = retries.retry(
                session, once.project_id, job_id, request_id=request.state.request_id, idempotency_key=once.key
            )
        except retries.NotRetryable as error:
            raise Problem("job_not_retryable", f"{job_id} cannot be retried: {error}") from error
        if job is None:
            raise problems.not_found("job", job_id)
        return job

    return await submitted(once, make, wait)


@router.get(
    "/{job_id}/events",
    operation_id="follow_job",
    response_class=job_events.JobEvents,
    responses={
        200: {"description": "Each event's `data` is an EventBody.", "model": job_events.EventBody},
        204: {"description": "The job is over and `Last-Event-ID` was its last event: do not come back."},
        **documented("not_found"),
    },
)
def follow_job(
    job_id: PathId,
    service: ServiceDep,
    me: CallerDep,
    last_event_id: Annotated[int, Header(ge=0, lt=2**31, description="The last event that you have seen.")] = 0,
) -> Response:
    """The job's events, as they happen, until it is over."""
    with service.begin() as session:
        job = jobs.get(session, me.project_id, job_id)
    if job is None:
        raise problems.not_found("job", job_id)
    if last_event_id > job.sequence:
        detail = f"{job_id} has no event {last_event_id} yet, its newest is {job.sequence}: name one that you have seen"
        raise problems.invalid(detail, param="last-event-id")
    if job.status in TERMINAL and job.sequence == last_event_id:
        return Response(status_code=204)
    return job_events.stream(service, me.project_id, job_id, last_event_id)
