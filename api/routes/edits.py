"""Edits: a picture, a learnt subject and what shall be different."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import problems
from api.artefact_body import ArtefactBody, artefact_body
from api.auth import CallerDep
from api.edit_request import NewEdit, require_subject
from api.fields import Moment, PathId, ResponseModel, check_url
from api.filters import METADATA, Status, WithMetadata
from api.idempotency import Creating
from api.job_body import JobBody
from api.pagination import Listing, Paging, listing
from api.problems import Problem, documented
from api.service import Service, ServiceDep
from api.submission import REFUSALS, Waiting, submitted
from ledger import artefacts, edit_inputs, edits, jobs, results
from ledger.edit_inputs import EditInputs
from ledger.models import Artefact, Job
from ledger.states import State

router = APIRouter(prefix="/edits", tags=["edits"])


class EditBody(ResponseModel):
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
async def create_edit(asked: NewEdit, request: Request, once: Creating, wait: Waiting) -> Response:
    """Edit a picture, once for each prompt and seed; 202 with the job."""
    if asked.webhook_url is not None:
        await run_in_threadpool(check_url, once.service.settings, asked.webhook_url, param="webhook_url")
    parameters = {asked.method: asked.parameters.given(), "seeds": asked.chosen_seeds()}

    def make(session: Session) -> Job:
        subject_id, prior_id = _judge(session, once.project_id, asked)
        edit = edits.draft(
            once.project_id,
            subject_id=subject_id,
            prior_id=prior_id,
            image_id=asked.image_id,
            mask_image_id=asked.mask_image_id,
            method=asked.method,
            source_prompt=asked.source_prompt,
            target_prompts=asked.target_prompts(),
        )
        return jobs.submit(
            session,
            once.project_id,
            "edit",
            subject_id=subject_id,
            prior_id=prior_id,
            edit_id=edit.id,
            related=[edit],
            parameters=parameters,
            metadata=asked.metadata,
            webhook_url=asked.webhook_url,
            request_id=request.state.request_id,
            idempotency_key=once.key,
        )

    return await submitted(once, make, wait)


@router.get("", operation_id="list_edits", response_model=Listing[EditBody], openapi_extra=METADATA)
def list_edits(
    service: ServiceDep, me: CallerDep, window: Paging, metadata: WithMetadata, status: Status = None
) -> Any:
    """The project's edits, newest first."""
    with service.begin() as session:
        page = results.edits(session, me.project_id, window, state=status, metadata=metadata)
        return listing(page, EditBody.model_validate)


@router.get("/{edit_id}", operation_id="get_edit", response_model=DownloadableEdit, responses=documented("not_found"))
def get_edit(edit_id: PathId, service: ServiceDep, me: CallerDep) -> Any:
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


def _judge(session: Session, project_id: str, asked: NewEdit) -> tuple[str, str | None]:
    """Subject and prior of the edit, if all that it names is there and fits."""
    ground = edit_inputs.find(
        session,
        project_id,
        subject_id=asked.subject_id,
        prior_id=asked.prior_id,
        image_id=asked.image_id,
        mask_image_id=asked.mask_image_id,
    )
    if asked.prior_id is not None:
        _judge_named_prior(ground, asked.prior_id)
    if ground.subject_id is None:
        raise problems.not_found("subject", asked.subject_id or "", param="subject_id")
    if asked.use_prior and ground.prior_id is None:
        detail = f"the subject has no ready prior: POST /v1/subjects/{ground.subject_id}/priors and wait for its job"
        raise Problem("prior_not_ready", detail, param="subject_id")
    require_subject(asked, f"{ground.token} {ground.class_noun}")
    _judge_pictures(ground, asked)
    return ground.subject_id, ground.prior_id if asked.use_prior else None


def _judge_named_prior(ground: EditInputs, prior_id: str) -> None:
    if ground.prior_id is None:
        raise problems.not_found("prior", prior_id, param="prior_id")
    if ground.ready_at is None:
        raise Problem("prior_not_ready", "wait until its job has succeeded", param="prior_id")


def _judge_pictures(ground: EditInputs, asked: NewEdit) -> None:
    if ground.width is None:
        raise problems.not_found("image", asked.image_id, param="image_id")
    if asked.mask_image_id is None:
        return
    if ground.mask_width is None:
        raise problems.not_found("image", asked.mask_image_id, param="mask_image_id")
    if (ground.mask_width, ground.mask_height) != (ground.width, ground.height):
        detail = (
            f"the mask has {ground.mask_width} x {ground.mask_height} pixels, "
            f"the image {ground.width} x {ground.height}: send a mask of the image's size"
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
