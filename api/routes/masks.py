"""Masks: the subject in an image, found before an edit, to be looked at, corrected, and given to the edit."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field, ValidationInfo, field_validator, model_validator
from sqlalchemy.orm import Session

from api import problems
from api.artefact_body import ArtefactBody, artefact_body
from api.auth import CallerDep
from api.base_model import BASE_MODEL_PROBLEMS, model_of_job
from api.consent import consent_ended
from api.fields import (
    DeadlineSeconds,
    Id,
    Metadata,
    PathId,
    Priority,
    RequestModel,
    ResponseModel,
    WebhookUrl,
    check_url,
)
from api.idempotency import IdempotencyDep, IdempotentRequest
from api.job_body import JobBody, JobWarning
from api.problems import problem_responses
from api.service import ServiceDep
from api.submission import JOB_PROBLEMS, WaitDep, submit_job
from api.webhook_choice import require_webhook_url
from ledger import artefacts, edit_inputs, images, jobs
from ledger.edit_inputs import EditInputs
from ledger.models import Job
from ledger.states import State
from ledger.webhooks import MaskEventType

router = APIRouter(prefix="/masks", tags=["masks"])


class NewMask(RequestModel):
    """A request to find the subject in one image. Give either `subject_id` or `prior_id`, as for an edit."""

    subject_id: Id | None = None
    """Id of the subject. It need not be learned. Give it unless you give `prior_id`."""

    prior_id: Id | None = None
    """Id of a prior of the subject. Give it instead of `subject_id` to use the base model of that training."""

    image_id: Id
    """Id of the image, which shows the subject."""

    deadline_seconds: DeadlineSeconds = None
    priority: Priority = 0
    metadata: Metadata = Field(default_factory=dict)
    webhook_url: WebhookUrl | None = None
    """URL that gets the events of this job. Default: only the project's endpoints get them. Give it if the receiver
    depends on the job."""

    webhook_events: Annotated[list[MaskEventType] | None, Field(min_length=1)] = None
    """Types of the events that `webhook_url` gets. Default: those of the job's end, such as `mask.succeeded`. Add
    `mask.started` to learn when a worker begins."""

    @field_validator("webhook_events")
    @classmethod
    def _has_a_url(cls, events: list[MaskEventType] | None, info: ValidationInfo) -> list[MaskEventType] | None:
        return require_webhook_url(events, info)

    @model_validator(mode="after")
    def _names_a_subject(self) -> "NewMask":
        if (self.subject_id is None) == (self.prior_id is None):
            raise ValueError("give either subject_id or prior_id")
        return self


class MaskBody(ResponseModel):
    """The subject's mask in an image: the one that an edit of this image would find itself.

    An edit changes the subject and the place where it will be. If you give an edit this mask as `mask_image_id`, it
    changes nothing outside: grow the mask to where the subject may move. Its file is uploaded as an image is."""

    id: str
    """Id of the job that finds the mask."""

    subject_id: str
    """Id of the subject."""

    image_id: str
    """Id of the image."""

    status: State
    """State of the job. The mask is there once it has succeeded."""

    mask: ArtefactBody | None
    """A PNG of the image's size, white where the subject is; null until the job has succeeded."""

    share: float | None
    """Share of the image that the subject covers, from 0 to 1; null until the job has succeeded."""

    cut_off: list[Literal["left", "top", "right", "bottom"]]
    """Sides of the image that the subject reaches, so that it is probably cut off there. Empty until the job has
    succeeded."""

    warnings: list[JobWarning]
    """Reasons why the mask is probably wrong, in words."""


@router.post(
    "",
    status_code=202,
    operation_id="create_mask",
    response_model=JobBody,
    responses=problem_responses(*JOB_PROBLEMS, *BASE_MODEL_PROBLEMS, "consent_ended"),
)
async def create_mask(new_mask: NewMask, request: Request, idempotent: IdempotencyDep, wait: WaitDep) -> Response:
    """Find the subject in an image; 202 with the job. Its result is at `/v1/masks/{job_id}`."""
    check_url(idempotent.service.settings, new_mask.webhook_url, param="webhook_url")
    create_job = partial(_create_job, idempotent, new_mask, request.state.request_id)
    return await submit_job(idempotent, create_job, wait)


@router.get("/{job_id}", operation_id="get_mask", response_model=MaskBody, responses=problem_responses("not_found"))
def get_mask(job_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """The mask that a job has found, by the job's id, with a signed URL of its file."""
    with service.begin() as session:
        job = jobs.get(session, caller.project_id, job_id)
        if job is None or job.kind != "mask":
            raise problems.not_found("job of a mask", job_id)
        files = artefacts.of_job(session, caller.project_id, job_id)
        return MaskBody.model_validate(
            {
                "id": job.id,
                "subject_id": job.subject_id,
                "image_id": job.image_id,
                "status": job.status,
                "mask": artefact_body(service, files[0]) if files else None,
                "share": job.resolved.get("share"),
                "cut_off": job.resolved.get("cut_off", []),
                "warnings": job.warnings,
            }
        )


def _create_job(idempotent: IdempotentRequest, new_mask: NewMask, request_id: str, session: Session) -> Job:
    project_id, image_id = idempotent.project_id, new_mask.image_id
    inputs = edit_inputs.find(
        session,
        project_id,
        subject_id=new_mask.subject_id,
        prior_id=new_mask.prior_id,
        image_id=image_id,
        mask_image_id=None,
    )
    if new_mask.prior_id is not None and inputs.prior_id is None:
        raise problems.not_found("prior", new_mask.prior_id, param="prior_id")
    if inputs.subject_id is None:
        raise problems.not_found("subject", new_mask.subject_id or "", param="subject_id")
    if inputs.consent_ended:
        raise consent_ended()
    if not images.get_many(session, project_id, [image_id]):  # it also keeps the image until the job is written
        raise problems.not_found("image", image_id, param="image_id")
    return jobs.submit(
        session,
        project_id,
        "mask",
        subject_id=inputs.subject_id,
        image_id=image_id,
        parameters={"image_id": image_id},
        metadata=new_mask.metadata,
        webhook_url=new_mask.webhook_url,
        webhook_events=new_mask.webhook_events or (),
        request_id=request_id,
        idempotency_key=idempotent.key,
        deadline_seconds=new_mask.deadline_seconds,
        priority=new_mask.priority,
        base_model=_base_model(session, idempotent, inputs),
    )


def _base_model(session: Session, idempotent: IdempotentRequest, inputs: EditInputs) -> str | None:
    """The fingerprint of the base model that the job needs: its prior's, or the service's default. None: any."""
    if inputs.ready_at is not None:
        return inputs.base_model
    model = model_of_job(session, idempotent.service.settings, None, "mask")
    return model.fingerprint if model else None
