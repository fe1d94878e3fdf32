"""Bodies of webhooks (Standard Webhooks 1.0): the start of a job, each result of an edit, and the end of a job."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from api.fields import Moment, ResponseModel
from api.job_body import JobError, JobWarning
from ledger.states import JobKind, State
from ledger.webhooks import EVENT_TYPES, WebhookEventType

RECEIVER_RESPONSES: dict[int | str, dict[str, Any]] = {
    "2XX": {"description": "Delivered. After any other status LIPE tries again later; it does not follow redirects."},
    410: {"description": "The endpoint is disabled: LIPE sends nothing there any more."},
}


class LinkedFile(ResponseModel):
    """A file with a signed URL, which needs no API key."""

    role: str | None = None
    """`adapter`, `manifest` or `source_mask`, for the files of a prior or a mask; absent for those of an edit."""

    name: str
    """File name that a download gets."""

    content_type: str
    """Media type of the file."""

    size: int
    """Size of the file in bytes."""

    sha256: str
    """SHA-256 of the file, in hexadecimal. Compare it after a download."""

    url: str
    """Signed URL of the file, valid until `urls_expire_at`."""


class LinkedResult(ResponseModel):
    """One edited image. The end of the job lists the images alone; `edit.output` also has the masks."""

    number: int
    """Number of the result, from 1, in the order of the prompts and, for each prompt, of the seeds."""

    prompt: str | None = None
    """Target prompt of this image; absent if the body would be too long."""

    seed: int | None = None
    """Seed of this image."""

    image: LinkedFile
    """The edited image."""

    source_mask: LinkedFile | None = None
    """Mask of the subject in the source image. Only in `edit.output`."""

    edit_mask: LinkedFile | None = None
    """Mask of the region that may change, white where it may. Only in `edit.output`."""

    uncomposited: LinkedFile | None = None
    """The image before the source's background was restored. Only in `edit.output`, and if the request includes it."""


class EventData(ResponseModel):
    """The job and, if it has some, its files. The files of a job that did not succeed are deleted after its end."""

    job_id: str
    """Id of the job."""

    status: State
    """State of the job: `running` in `started` and `output`, its final state otherwise."""

    attempt: int
    """Number of times that a worker has claimed the job."""

    error: JobError | None = None
    """Reason of the failure; absent unless the job has failed."""

    kind: JobKind
    """`prior` for a training, `edit` for an edit, `captions` for descriptions of images, `mask` for the subject's
    mask."""

    subject_id: str
    """Id of the subject."""

    prior_id: str | None
    """Id of the prior; null for captions and masks, and for an edit with the base model alone."""

    edit_id: str | None
    """Id of the edit; null for the other kinds."""

    warnings: list[JobWarning]
    """Reasons why the result will probably be poor."""

    trace_id: str | None = None
    """Id of the trace that began with the request, 32 hexadecimal digits; null without tracing."""

    result_path: str
    """Path of the result on the service. GET it with an API key for the captions, or for new URLs of the files."""

    output: LinkedResult | None = None
    """The result that was stored. Only in `edit.output`."""

    results: list[LinkedResult] | None = None
    """All results, in `edit.succeeded`; absent if the body would be too long."""

    files: list[LinkedFile] | None = None
    """Adapter and manifest, in `prior.succeeded`; the mask, in `mask.succeeded`."""

    urls_expire_at: Moment | None = None
    """Time at which the URLs of this body become invalid, in UTC: an hour after the event, unless the operator chose
    another time. A webhook that is sent again has the same URLs."""

    metadata: dict[str, str] | None = None
    """Your own pairs from the request; absent if the body would be too long."""


class WebhookEvent(ResponseModel):
    """A signed event of less than 20 kB. All attempts send the same bytes and the same header `webhook-id`."""

    type: WebhookEventType
    """Kind of the job, and what happened: it `started`, an `output` was stored, or its final state."""

    timestamp: Moment
    """Time of the event, in UTC."""

    data: EventData
    """Facts about the job."""


def make_router() -> APIRouter:
    """The routes that a receiver has to offer, for `webhooks` in OpenAPI."""
    router = APIRouter(tags=["webhooks"])
    for event in EVENT_TYPES:
        router.add_api_route(
            event,
            _receiver(event),
            methods=["POST"],
            status_code=204,
            operation_id=f"on_{event.replace('.', '_')}",
            summary=event,
            responses=RECEIVER_RESPONSES,
        )
    return router


def _receiver(event: str) -> Callable[..., None]:
    kind, _, state = event.partition(".")

    def receive(body: WebhookEvent) -> None: ...

    receive.__doc__ = f"The job of {SUBJECTS[kind]} has {PHRASES[state]}."
    return receive


SUBJECTS = {"prior": "a prior", "edit": "an edit", "captions": "captions", "mask": "a mask"}
PHRASES = {
    "started": "been claimed by a worker for the first time; only sent to those that subscribe to this type",
    "output": "stored one of its results; only sent to those that subscribe to this type",
    "succeeded": "succeeded: its result is available",
    "failed": "failed: `error` says why",
    "canceled": "been cancelled",
    "expired": "expired",
}
