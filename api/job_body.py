"""How a job looks to its owner."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from api.artefact_body import ArtefactBody
from api.fields import Moment
from api.previews import shown
from api.service import Service
from ledger.models import Job
from ledger.states import JobKind, State


class JobError(BaseModel):
    """Why a job failed: a code from docs/problems.md, and what to do."""

    code: str
    detail: str


class JobProgress(BaseModel, extra="allow"):
    """How far the running attempt is: `step` of `total` in its `stage`; more where the stage has more to say."""

    stage: str
    step: int
    total: int
    preview: Annotated[
        ArtefactBody | None, Field(description="While it runs: the newest picture of what it has made so far.")
    ] = None


class JobUrls(BaseModel):
    """Paths on this server."""

    self: str
    cancel: str
    retry: str
    events: str
    result: str


class JobBody(BaseModel):
    """`parameters` are what was asked for; `resolved`, once it ran, every setting that it ran with."""

    id: str
    kind: JobKind
    status: State
    subject_id: str
    prior_id: str | None
    edit_id: str | None
    attempt: Annotated[int, Field(description="How many workers have begun it.")]
    progress: JobProgress | None
    error: JobError | None
    parameters: dict[str, Any]
    resolved: dict[str, Any]
    metrics: Annotated[dict[str, Any], Field(description="Seconds of each stage, peak memory, worker.")]
    metadata: dict[str, str]
    webhook_url: str | None
    request_id: str | None
    created_at: Moment
    queued_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    cancel_requested_at: Moment | None
    urls: JobUrls

    @classmethod
    def of(cls, service: Service, job: Job) -> "JobBody":
        """The row as its owner sees it."""
        here = f"/v1/jobs/{job.id}"
        result = f"/v1/edits/{job.edit_id}" if job.kind == "edit" else f"/v1/priors/{job.prior_id}"
        return cls(
            id=job.id,
            kind="edit" if job.kind == "edit" else "prior",
            status=job.status,
            subject_id=job.subject_id,
            prior_id=job.prior_id,
            edit_id=job.edit_id,
            attempt=job.attempt,
            progress=JobProgress(**shown(service, job.progress)) if job.progress else None,
            error=JobError(code=job.error_code, detail=job.error_detail or "") if job.error_code else None,
            parameters=job.parameters,
            resolved=job.resolved,
            metrics=job.metrics,
            metadata=job.user_metadata,
            webhook_url=job.webhook_url,
            request_id=job.request_id,
            created_at=job.created_at,
            queued_at=job.queued_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            cancel_requested_at=job.cancel_requested_at,
            urls=JobUrls(
                self=here, cancel=f"{here}/cancel", retry=f"{here}/retry", events=f"{here}/events", result=result
            ),
        )


def etag(job: Job) -> str:
    """Changes with every event and with the wish to cancel."""
    return f'"{job.sequence}{"c" if job.cancel_requested_at else ""}"'
