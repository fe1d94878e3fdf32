"""Captions: descriptions of uploaded images, asked for before a training or an edit, to be read and corrected."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field, ValidationInfo, field_validator
from sqlalchemy.orm import Session

from api import problems
from api.auth import CallerDep, caller_of
from api.edit_request import Prompt
from api.fields import Id, Metadata, PathId, RequestModel, ResponseModel, WebhookUrl, check_url
from api.idempotency import IdempotencyDep, IdempotentRequest
from api.job_body import JobBody, JobWarning
from api.policy import POLICY_PROBLEMS, require_policy
from api.problems import problem_responses
from api.service import ServiceDep
from api.submission import JOB_PROBLEMS, WaitDep, submit_job
from api.webhook_choice import require_webhook_url
from ledger import images, jobs, policy, subjects
from ledger.models import Image, Job
from ledger.policy import Question
from ledger.states import State
from ledger.subjects import MAX_REFERENCES
from ledger.webhooks import CaptionsEventType

router = APIRouter(prefix="/captions", tags=["captions"])


class NewCaptions(RequestModel):
    """A request for captions of images that show one subject."""

    subject_id: Id
    """Id of the subject that the images show. Captions name it by its token and class noun."""

    image_ids: Annotated[list[Id] | None, Field(min_length=1, max_length=MAX_REFERENCES)] = None
    """Ids of 1 to 20 images. Default: the subject's references. Give the image of an edit to read its description
    before the edit."""

    action: Prompt | None = None
    """What the subject does in a wanted image, without its name: "jumping over a fence". Each answer then has a
    `target_prompt`: the caption with its action replaced. Default: none. Give it to prepare an edit of the image."""

    metadata: Metadata = Field(default_factory=dict)
    webhook_url: WebhookUrl | None = None
    """URL that gets the events of this job. Default: only the project's endpoints get them. Give it if the receiver
    depends on the job."""

    webhook_events: Annotated[list[CaptionsEventType] | None, Field(min_length=1)] = None
    """Types of the events that `webhook_url` gets. Default: those of the job's end, such as `captions.succeeded`. Add
    `captions.started` to learn when a worker begins."""

    @field_validator("image_ids")
    @classmethod
    def _are_different(cls, image_ids: list[str] | None) -> list[str] | None:
        if image_ids is not None and len(set(image_ids)) != len(image_ids):
            raise ValueError("an image occurs twice: give different images")
        return image_ids

    @field_validator("action")
    @classmethod
    def _has_words(cls, action: str | None) -> str | None:
        if action is not None and not action.strip():
            raise ValueError("the action is empty: say what the subject does, or leave it out")
        return action

    @field_validator("webhook_events")
    @classmethod
    def _has_a_url(cls, events: list[CaptionsEventType] | None, info: ValidationInfo) -> list[CaptionsEventType] | None:
        return require_webhook_url(events, info)


class PhraseBody(ResponseModel):
    """One phrase of a caption, compared with the image."""

    text: str
    """Words of the phrase."""

    score: float
    """Change of CLIP's cosine by this phrase, from -2 to 2: below 0 the caption fits the image better without it."""

    is_doubtful: bool
    """Whether the image contradicts the phrase, in the opinion of the service's CLIP. Look at the image."""


class ImageCaption(ResponseModel):
    """The caption of one image."""

    image_id: str
    """Id of the image."""

    caption: str
    """Description of the image, which names the subject."""

    phrases: list[PhraseBody]
    """Phrases of the caption with their scores. Empty if the service has no CLIP (`LIPE_CAPTION_CHECKER`)."""

    target_prompt: str | None = None
    """The caption with its action replaced, for an edit of this image; null if the request gave no `action`."""


class CaptionsBody(ResponseModel):
    """The captions of a job. Correct them, then give them to the subject or to an edit."""

    id: str
    """Id of the job that writes the captions."""

    subject_id: str
    """Id of the subject."""

    status: State
    """State of the job. Captions are there once it has succeeded."""

    captioner: str | None
    """Name of the model that wrote the captions; null until the job has succeeded."""

    captions: list[ImageCaption]
    """One caption for each image, in the order of the request. Empty until the job has succeeded."""

    warnings: list[JobWarning]
    """Phrases that the images contradict, in words."""


@router.post(
    "",
    status_code=202,
    operation_id="create_captions",
    response_model=JobBody,
    responses=problem_responses(*JOB_PROBLEMS, *POLICY_PROBLEMS),
)
async def create_captions(
    new_captions: NewCaptions, request: Request, idempotent: IdempotencyDep, wait: WaitDep
) -> Response:
    """Describe images of a subject; 202 with the job. Its result is at `/v1/captions/{job_id}`."""
    check_url(idempotent.service.settings, new_captions.webhook_url, param="webhook_url")
    await require_policy(idempotent.service, caller_of(request), partial(_question, idempotent, new_captions))
    create_job = partial(_create_job, idempotent, new_captions, request.state.request_id)
    return await submit_job(idempotent, create_job, wait)


@router.get(
    "/{job_id}", operation_id="get_captions", response_model=CaptionsBody, responses=problem_responses("not_found")
)
def get_captions(job_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """The captions that a job has written, by the job's id."""
    with service.begin() as session:
        job = jobs.get(session, caller.project_id, job_id)
        if job is None or job.kind != "captions":
            raise problems.not_found("job of captions", job_id)
        return CaptionsBody(
            id=job.id,
            subject_id=job.subject_id,
            status=job.status,
            captioner=job.resolved.get("captioner"),
            captions=[ImageCaption.model_validate(caption) for caption in job.resolved.get("captions", ())],
            warnings=[JobWarning.model_validate(warning) for warning in job.warnings],
        )


def _question(idempotent: IdempotentRequest, new_captions: NewCaptions, session: Session) -> Question | None:
    """The question about the images. A repeated request asks nothing."""
    if idempotent.recall(session) is not None:
        return None
    found = _images(session, idempotent.project_id, new_captions)
    facts = [policy.image_facts(idempotent.service.storage, image) for image in found]
    return policy.about_captions(idempotent.project_id, new_captions.subject_id, facts, new_captions.action)


def _images(session: Session, project_id: str, new_captions: NewCaptions) -> list[Image]:
    """The images of the request, in its order. Raises Problem if the subject or one of them does not exist."""
    subject = subjects.get(session, project_id, new_captions.subject_id)
    if subject is None:
        raise problems.not_found("subject", new_captions.subject_id, param="subject_id")
    image_ids = new_captions.image_ids or [reference.image_id for reference in subject.references]
    present = {image.id: image for image in images.get_many(session, project_id, image_ids)}
    for position, image_id in enumerate(image_ids):
        if image_id not in present:
            raise problems.not_found("image", image_id, param=f"image_ids[{position}]")
    return [present[image_id] for image_id in image_ids]


def _create_job(idempotent: IdempotentRequest, new_captions: NewCaptions, request_id: str, session: Session) -> Job:
    image_ids = [image.id for image in _images(session, idempotent.project_id, new_captions)]
    return jobs.submit(
        session,
        idempotent.project_id,
        "captions",
        subject_id=new_captions.subject_id,
        parameters={
            "image_ids": image_ids,
            **({"action": new_captions.action.strip()} if new_captions.action else {}),
        },
        metadata=new_captions.metadata,
        webhook_url=new_captions.webhook_url,
        webhook_events=new_captions.webhook_events or (),
        request_id=request_id,
        idempotency_key=idempotent.key,
    )
