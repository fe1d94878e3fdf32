"""The body of a job in answers."""

from typing import Any, cast

from api.artefact_body import ArtefactBody
from api.fields import Moment, ResponseModel
from api.previews import with_preview_url
from api.service import Service
from ledger.job_warnings import WarningCode
from ledger.models import Job
from ledger.states import JobKind, State
from ledger.tracing import trace_id
from ledger.waiting import Reason, Waiting


class JobError(ResponseModel):
    """Why a job failed: a code from docs/problems.md, and what to do."""

    code: str
    """Code of the error, from docs/problems.md. Programs should decide by it."""

    detail: str
    """Description for people: the cause, and what to do."""


class JobWarning(ResponseModel):
    """A reason why the result will probably be poor, although nothing failed."""

    code: WarningCode
    """Code of the warning, from docs/warnings.md. Programs should decide by it."""

    message: str
    """Description for people: the cause, and what to do."""


class JobProgress(ResponseModel, extra="allow"):
    """Progress of the running attempt: `step` of `total` in its `stage`. Some stages add further fields."""

    stage: str
    """Name of the current stage, such as `training` or `editing`."""

    step: int
    """Number of the last finished step of the stage."""

    total: int
    """Number of steps of the stage."""

    preview: ArtefactBody | None = None
    """Newest preview image, while the job runs."""


class JobWaiting(ResponseModel):
    """Why a queued job waits."""

    reason: Reason
    """`no_worker_serves_it`: no live worker takes jobs of this kind. `no_worker_has_its_base_model`: those that do have
    loaded other base models. `quota`: the project has as many running jobs as it may have. `jobs_before_it`: older jobs
    of the project are first. `workers_busy`: it starts as soon as a worker is free."""

    position: int | None
    """Its place among the project's queued jobs of this kind; 1 is the first. Null: over 200."""


class JobUrls(ResponseModel):
    """Paths of the job on this server."""

    self: str
    """Path of the job: GET it to poll."""

    cancel: str
    """Path that cancels the job: POST to it."""

    retry: str
    """Path that submits an ended job again: POST to it."""

    events: str
    """Path of the stream of events: GET it to follow the job."""

    result: str
    """Path of the edit, the prior, the captions or the mask that the job makes."""


class JobBody(ResponseModel):
    """A training, an edit, captions to write or a mask to find.

    `parameters` are those of the request, `resolved` all settings that the job ran with."""

    id: str
    """Id of the job."""

    kind: JobKind
    """`prior` for a training, `edit` for an edit, `captions` for descriptions of images, `mask` for the subject's
    mask."""

    status: State
    """State of the job. `succeeded`, `failed`, `canceled` and `expired` are final."""

    subject_id: str
    """Id of the subject that the job learns, edits or describes."""

    prior_id: str | None
    """Id of the prior that the job learns or uses; null for captions and masks, and for an edit with the
    base model alone or whose prior was deleted."""

    edit_id: str | None
    """Id of the edit; null for the other kinds."""

    base_model: str | None
    """Fingerprint of the base model that the job needs: only workers that have loaded it take the job. Null: any."""

    attempt: int
    """Number of times that a worker has claimed the job."""

    waiting: JobWaiting | None
    """Why a queued job waits. Only in the answers of GET requests."""

    progress: JobProgress | None
    """Progress of the running attempt; null before the first step."""

    error: JobError | None
    """Reason of the failure; null unless the job has failed."""

    warnings: list[JobWarning]
    """Reasons why the result will probably be poor. A running job has them as soon as the worker knows them."""

    parameters: dict[str, Any]
    """Settings that the request gave, by method or part."""

    resolved: dict[str, Any]
    """All settings that the job ran with, defaults and seeds included. Empty until the job has succeeded."""

    metrics: dict[str, Any]
    """Seconds of each stage, peak memory in bytes, and the worker."""

    metadata: dict[str, str]
    """Your own pairs from the request."""

    webhook_url: str | None
    """URL that gets the job's events, besides the endpoints of the project; null if the request gave none."""

    webhook_events: list[str]
    """Types of the events that `webhook_url` gets, from the request. Empty means those of the job's end."""

    request_id: str | None
    """`X-Request-Id` of the request that created the job. Quote it in a report of an error."""

    trace_id: str | None
    """Id of the trace that began with that request, 32 hexadecimal digits; null without tracing."""

    created_at: Moment
    """Time at which the job was created, in UTC."""

    queued_at: Moment
    """Time at which the job last entered the queue, in UTC."""

    started_at: Moment | None
    """Time at which the first attempt began, in UTC; null until then."""

    finished_at: Moment | None
    """Time at which the job ended, in UTC; null until then."""

    priority: int
    """Minutes by which the job goes ahead of its project's others; see the request's `priority`."""

    expires_at: Moment | None
    """Time at which the job expires if no worker has begun it, in UTC; null without a `deadline_seconds`."""

    cancel_requested_at: Moment | None
    """Time at which a running job was asked to stop, in UTC; null without such a request."""

    urls: JobUrls
    """Paths of this job and of its result."""

    @classmethod
    def of(cls, service: Service, job: Job, waiting: Waiting | None = None) -> "JobBody":
        """The body of a row; `waiting` if it is queued and that is known."""
        path = f"/v1/jobs/{job.id}"
        _, progress = job.latest_progress
        return cls(
            id=job.id,
            kind=cast(JobKind, job.kind),
            status=job.status,
            subject_id=job.subject_id,
            prior_id=job.prior_id,
            edit_id=job.edit_id,
            base_model=job.base_model,
            attempt=job.attempt,
            waiting=JobWaiting(reason=waiting.reason, position=waiting.position) if waiting else None,
            progress=JobProgress(**with_preview_url(service, progress)) if progress else None,
            error=JobError(code=job.error_code, detail=job.error_detail or "") if job.error_code else None,
            warnings=[JobWarning.model_validate(warning) for warning in job.warnings],
            parameters=job.parameters,
            resolved=job.resolved,
            metrics=job.metrics,
            metadata=job.user_metadata,
            webhook_url=job.webhook_url,
            webhook_events=job.webhook_events,
            request_id=job.request_id,
            trace_id=trace_id(job.traceparent),
            created_at=job.created_at,
            queued_at=job.queued_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            priority=job.priority,
            expires_at=job.expires_at,
            cancel_requested_at=job.cancel_requested_at,
            urls=JobUrls(
                self=path,
                cancel=f"{path}/cancel",
                retry=f"{path}/retry",
                events=f"{path}/events",
                result=job.result_path,
            ),
        )


def etag(job: Job, waiting: Waiting | None = None) -> str:
    """The entity tag. It changes with every event, a request to cancel, and the reason and place of a queued job."""
    queue = f"-{waiting.reason}-{waiting.position}" if waiting else ""
    return f'"{job.newest_number}{"c" if job.cancel_requested_at else ""}{queue}"'
