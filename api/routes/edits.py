"""Edits: a picture, a learnt subject and what shall be different."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import problems
from api.artefact_body import ArtefactBody, artefact_body
from api.auth import Me
from api.edit_request import NewEdit, require_subject
from api.fields import Answered, Moment, PathId, check_url
from api.filters import METADATA, Status, WithMetadata
from api.idempotency import Creating
from api.job_body import JobBody
from api.pagination import Listing, Paging, listing
from api.problems import Problem, documented
from api.service import Here, Service
from api.submission import REFUSALS, Waiting, submitted
from ledger import artefacts, edits, images, jobs, priors, results, subjects
from ledger.artefacts import Artefact
from ledger.images import Image
from ledger.jobs import Job
from ledger.priors import Prior
from ledger.states import State
from ledger.subjects import Subject

router = APIRouter(prefix="/edits", tags=["edits"])


class EditBody(Answered):
    """What was asked."""

    id: str
    subject_id: str
    prior_id: str | None
    image_id: str
    mask_image_id: str | None
    method: str
    source_prompt: str | None
    target_prompts: list[str]
    created_at: Moment


class EditResult(BaseModel):
    """One edited picture. Masks are white where the picture may change; `uncomposited` is before the background
    was put back."""

    prompt: str | None
    seed: int | None
    image: ArtefactBody
    source_mask: ArtefactBody | None = None
    edit_mask: ArtefactBody | None = None
    uncomposited: ArtefactBody | None = None


class DownloadableEdit(EditBody):
    """With its newest job and, once that succeeded, one result for each prompt and seed."""

    job_id: str | None
    status: State | None
    results: list[EditResult]


@router.post(
    "",
    status_code=202,
    operation_id="create_edit",
    response_model=JobBody,
    responses=documented(*REFUSALS, "prior_not_ready", "prompt_empty", "prompt_without_subject", "mask_size_mismatch"),
)
async def create_edit(asked: NewEdit, request: Request, service: Here, once: Creating, wait: Waiting) -> Response:
    """Edit a picture, once for each prompt and seed; 202 with the job."""
    await run_in_threadpool(check_url, service.settings, asked.webhook_url, param="webhook_url")
    parameters = {asked.method: asked.parameters.given(), "seeds": asked.chosen_seeds()}

    def make(session: Session) -> Job:
        prior = _prior(session, once.project_id, asked) if asked.use_prior else None
        subject = _subject(session, once.project_id, prior.subject_id if prior else asked.subject_id or "")
        require_subject(asked, f"{subject.token} {subject.class_noun}")
        image = _image(session, once.project_id, asked.image_id, param="image_id")
        if asked.mask_image_id is not None:
            _fits(image, _image(session, once.project_id, asked.mask_image_id, param="mask_image_id"))
        edit = edits.create(
            session,
            once.project_id,
            subject_id=subject.id,
            prior_id=prior.id if prior else None,
            image_id=image.id,
            mask_image_id=asked.mask_image_id,
            method=asked.method,
            source_prompt=asked.source_prompt,
            target_prompts=asked.target_prompts(),
        )
        return jobs.submit(
            session,
            once.project_id,
            "edit",
            subject_id=subject.id,
            prior_id=prior.id if prior else None,
            edit_id=edit.id,
            parameters=parameters,
            metadata=asked.metadata,
            webhook_url=asked.webhook_url,
            request_id=request.state.request_id,
        )

    return await submitted(once, make, wait)


@router.get("", operation_id="list_edits", response_model=Listing[EditBody], openapi_extra=METADATA)
def list_edits(service: Here, me: Me, window: Paging, metadata: WithMetadata, status: Status = None) -> Any:
    """The project's edits, newest first."""
    with service.begin() as session:
        page = results.edits(session, me.project_id, window, state=status, metadata=metadata)
        return listing(page, EditBody.model_validate)


@router.get("/{edit_id}", operation_id="get_edit", response_model=DownloadableEdit, responses=documented("not_found"))
def get_edit(edit_id: PathId, service: Here, me: Me) -> Any:
    """One edit, with signed URLs of its pictures."""
    with service.begin() as session:
        edit = edits.get(session, me.project_id, edit_id)
        if edit is None:
            raise problems.not_found("edit", edit_id)
        job = jobs.of_edit(session, me.project_id, edit_id)
        made = artefacts.of_job(session, me.project_id, job.id) if job else []
        return DownloadableEdit(
            **EditBody.model_validate(edit).model_dump(),
            job_id=job.id if job else None,
            status=job.status if job else None,
            results=_results(service, made),
        )


def _prior(session: Session, project_id: str, asked: NewEdit) -> Prior:
    """The prior asked for, or the subject's newest; it must be ready."""
    if asked.prior_id is not None:
        prior = priors.get(session, project_id, asked.prior_id)
        if prior is None:
            raise problems.not_found("prior", asked.prior_id, param="prior_id")
        if prior.ready_at is None:
            raise Problem("prior_not_ready", "wait until its job has succeeded", param="prior_id")
        return prior
    subject = _subject(session, project_id, asked.subject_id or "")
    default = priors.default(session, project_id, subject.id)
    if default is None:
        detail = f"the subject has no ready prior: POST /v1/subjects/{subject.id}/priors and wait for its job"
        raise Problem("prior_not_ready", detail, param="subject_id")
    return default


def _subject(session: Session, project_id: str, subject_id: str) -> Subject:
    subject = subjects.get(session, project_id, subject_id)
    if subject is None:
        raise problems.not_found("subject", subject_id, param="subject_id")
    return subject


def _image(session: Session, project_id: str, image_id: str, *, param: str) -> Image:
    image = images.get(session, project_id, image_id)
    if image is None:
        raise problems.not_found("image", image_id, param=param)
    return image


def _fits(image: Image, mask: Image) -> None:
    if (image.width, image.height) != (mask.width, mask.height):
        detail = (
            f"the mask has {mask.width} x {mask.height} pixels, the image {image.width} x {image.height}: "
            "send a mask of the image's size"
        )
        raise Problem("mask_size_mismatch", detail, param="mask_image_id")


def _results(service: Service, made: list[Artefact]) -> list[EditResult]:
    """One for each picture, in the job's order, with the masks that belong to the same prompt and seed."""
    grouped: dict[tuple[str | None, int | None], dict[str, ArtefactBody]] = {}
    for artefact in made:
        key = artefact.details.get("target_prompt"), artefact.details.get("seed")
        grouped.setdefault(key, {})[artefact.role] = artefact_body(service, artefact)
    shared = grouped.get((None, None), {})
    return [
        EditResult.model_validate({"prompt": prompt, "seed": seed, **shared, **files})
        for (prompt, seed), files in grouped.items()
        if "image" in files
    ]
