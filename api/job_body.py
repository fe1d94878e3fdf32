"""The body of a job in answers."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from api.artefact_body import ArtefactBody
from api.fields import Moment
from api.previews import with_preview_url
from api.service import Service
from ledger.models import Job
from ledger.states import JobKind, State
from ledger.waiting import Reason, Waiting


class JobError(BaseModel):
    """Why a job failed: a code from docs/problems.md, and what to do."""

    code: str
    detail: str


class JobProgress(BaseModel, extra="allow"):
    """Progress of the running attempt: `step` of `total` in its `stage`. Some stages add further fields."""

    stage: str
    step: int
    total: int
    preview: Annotated[ArtefactBody | None, Field(description="While the job runs: its newest preview image.")] = None


class JobWaiting(BaseModel):
    """Why a queued job waits."""

    reason: Annotated[
        Reason,
        Field(
            description="`no_worker_serves_it`: no live worker takes jobs of this kind. `quota`: the project has as "
            "many running jobs as it may have. `jobs_before_it`: older jobs of the project are first. "
            "`workers_busy`: it starts as soon as a worker is free."
        ),
    ]
    position: Annotated[
        int | None,
        Field(description="Its place among the project's queued jobs of this kind; 1 is the first. Null: over 200."),
    ]


class JobUrls(BaseModel):
    """Paths of the job on this server."""

    self: str
    cancel: str
    retry: str
    events: str
    result: str


class JobBody(BaseModel):
    """A training or an edit. `parameters` are those of the request, `resolved` all settings that the job ran with."""

    id: str
    kind: JobKind
    status: State
    subject_id: str
    prior_id: str | None
    edit_id: str | None
    attempt: Annotated[int, Field(description="Number of times that a worker has claimed the job.")]
    waiting: Annotated[
        JobWaiting | None, Field(description="Why a queued job waits. Only in the answers of GET requests.")
    ]
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
    def of(cls, service: Service, job: Job, waiting: Waiting | None = None) -> "JobBody":
        """The body of a row; `waiting` if it is queued and that is known."""
        path = f"/v1/jobs/{job.id}"
        result = f"/v1/edits/{job.edit_id}" if job.kind == "edit" else f"/v1/priors/{job.prior_id}"
        return cls(
            id=job.id,
            kind="edit" if job.kind == "edit" else "prior",
            status=job.status,
            subject_id=job.subject_id,
            prior_id=job.prior_id,
            edit_id=job.edit_id,
            attempt=job.attempt,
            waiting=JobWaiting(reason=waiting.reason, position=waiting.position) if waiting else None,
            progress=JobProgress(**with_preview_url(service, job.progress)) if job.progress else None,
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
                self=path, cancel=f"{path}/cancel", retry=f"{path}/retry", events=f"{path}/events", result=result
            ),
        )


def etag(job: Job, waiting: Waiting | None = None) -> str:
    """The entity tag. It changes with every event, a request to cancel, and the reason and place of a queued job."""
    queue = f"-{waiting.reason}-{waiting.position}" if waiting else ""
    return f'"{job.sequence}{"c" if job.cancel_requested_at else ""}{queue}"'
