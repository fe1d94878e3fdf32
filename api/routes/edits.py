"""Edits: an image of a learned subject, changed as a prompt says."""

from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import problems
from api.auth import CallerDep, caller_of
from api.base_model import BASE_MODEL_PROBLEMS, model_of_edit, named_model
from api.consent import consent_ended
from api.dry_run import DryRunBody, dry_run
from api.edit_body import DownloadableEdit, EditBody, edit_files, edit_results
from api.edit_prompts import prompts_of, require_subject
from api.edit_request import NewEdit
from api.effective_settings import GUIDED, contradiction
from api.fields import PathId, check_url
from api.filters import METADATA_PARAMETER, MetadataFilter, StatusFilter
from api.idempotency import IdempotencyDep, IdempotentRequest
from api.job_body import JobBody
from api.mixing import checked_mix
from api.other_people import note_others, others_shown, require_statement
from api.pagination import Listing, PageDep, listing
from api.policy import POLICY_PROBLEMS, for_dry_run, require_policy
from api.problems import Problem, problem_responses
from api.service import ServiceDep
from api.submission import JOB_PROBLEMS, WaitDep, submit_job
from ledger import artefacts, edit_inputs, edits, images, jobs, policy, projects, results
from ledger.base_models import BaseModel
from ledger.edit_inputs import EditInputs
from ledger.models import Job
from ledger.policy import Question

router = APIRouter(prefix="/edits", tags=["edits"])
EDIT_PROBLEMS = (
    *JOB_PROBLEMS,
    "prior_not_ready",
    "priors_not_mixable",
    "prompt_empty",
    "prompt_without_subject",
    "consent_required",
    "consent_ended",
    "mask_size_mismatch",
    *BASE_MODEL_PROBLEMS,
    "base_model_mismatch",
    *POLICY_PROBLEMS,
)
"""Codes that an edit and its dry run may answer with."""


@router.post(
    "",
    status_code=202,
    operation_id="create_edit",
    response_model=JobBody,
    responses=problem_responses(
        *EDIT_PROBLEMS,
    ),
)
async def create_edit(new_edit: NewEdit, request: Request, idempotent: IdempotencyDep, wait: WaitDep) -> Response:
    """Edit an image, once for each prompt and seed; 202 with the job."""
    check_url(idempotent.service.settings, new_edit.webhook_url, param="webhook_url")
    await require_policy(idempotent.service, caller_of(request), partial(_question, idempotent, new_edit))
    create_job = partial(_create_job, idempotent, new_edit, new_edit.job_parameters(), request)
    return await submit_job(idempotent, create_job, wait)


@router.post(
    "/dry-run",
    operation_id="dry_run_edit",
    response_model=DryRunBody,
    responses=problem_responses(
        *EDIT_PROBLEMS,
    ),
)
async def dry_run_edit(new_edit: NewEdit, request: Request, idempotent: IdempotencyDep) -> DryRunBody:
    """Check a request for an edit, quotas and the operator's policy included, and estimate its time.

    Nothing is created.
    """
    service, unkeyed = idempotent.service, replace(idempotent, key=None)
    check_url(service.settings, new_edit.webhook_url, param="webhook_url")
    await require_policy(service, caller_of(request), for_dry_run(partial(_question, unkeyed, new_edit)))
    create_job = partial(_create_job, idempotent, new_edit, new_edit.job_parameters(), request)
    return await run_in_threadpool(dry_run, service, idempotent.project_id, "edit", new_edit.method, create_job)


@router.get("", operation_id="list_edits", response_model=Listing[EditBody], openapi_extra=METADATA_PARAMETER)
def list_edits(
    service: ServiceDep, caller: CallerDep, window: PageDep, metadata: MetadataFilter, status: StatusFilter = None
) -> Any:
    """The project's edits, newest first."""
    with service.begin() as session:
        page = results.edits(session, caller.project_id, window, state=status, metadata=metadata)
        warnings = results.warnings_of_edits(session, [edit.id for edit in page.rows])
        return listing(page, lambda edit: EditBody.of(edit, warnings.get(edit.id, ())))


@router.get(
    "/{edit_id}", operation_id="get_edit", response_model=DownloadableEdit, responses=problem_responses("not_found")
)
def get_edit(edit_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """One edit, with signed URLs of its images."""
    with service.begin() as session:
        edit = edits.get(session, caller.project_id, edit_id)
        if edit is None:
            raise problems.not_found("edit", edit_id)
        job = jobs.of_edit(session, caller.project_id, edit_id)
        files = artefacts.of_job(session, caller.project_id, job.id) if job else []
        return DownloadableEdit(
            **EditBody.of(edit, job.warnings if job else ()).model_dump(),
            job_id=job.id if job else None,
            status=job.status if job else None,
            action=job.parameters.get("action") if job else None,
            used_source_prompt=job.resolved.get("source_prompt") if job else None,
            results=edit_results(edit_files(service, job, files)),
        )


def _question(idempotent: IdempotentRequest, new_edit: NewEdit, session: Session) -> Question | None:
    """The question about the request's prompts and source image. A repeated request asks nothing."""
    if idempotent.recall(session) is not None:
        return None
    found = images.get_many(session, idempotent.project_id, [new_edit.image_id])
    facts = [policy.image_facts(idempotent.service.storage, image) for image in found]
    ids = {"subject_id": new_edit.subject_id, "prior_id": new_edit.prior_id, "image_id": new_edit.image_id}
    return policy.about_prompts(idempotent.project_id, prompts_of(new_edit), ids, facts)


def _create_job(
    idempotent: IdempotentRequest, new_edit: NewEdit, parameters: dict[str, Any], request: Request, session: Session
) -> Job:
    _check_marks(session, idempotent, new_edit)
    settings, named = idempotent.service.settings, named_model(session, new_edit.base_model, "edit")
    inputs = _inputs(session, idempotent.project_id, new_edit, named)
    subject_id, prior_id = inputs.subject_id, inputs.prior_id if new_edit.use_prior else None
    base_model = model_of_edit(session, settings, named, new_edit.method, inputs if prior_id else None)
    given, choices = new_edit.parameters.given(), new_edit.choices()
    rules = [GUIDED] if new_edit.negative_prompt else []
    if refusal := contradiction(session, "edit", new_edit.method, given, choices, rules, base_model):
        raise problems.invalid(refusal, param="parameters")
    assert subject_id is not None  # noqa: S101 - `_inputs` has checked it
    shown, has_statement = others_shown(session, subject_id, inputs.faces), new_edit.other_people is not None
    require_statement(settings, shown, has_statement)
    mix = checked_mix(session, idempotent.project_id, new_edit.mix, prior_id) if new_edit.mix and prior_id else None
    edit = edits.draft(
        idempotent.project_id,
        subject_id=subject_id,
        prior_id=prior_id,
        mix=mix,
        image_id=new_edit.image_id,
        mask_image_id=new_edit.mask_image_id,
        method=new_edit.method,
        source_prompt=new_edit.source_prompt,
        target_prompts=new_edit.target_prompts(f"{inputs.token} {inputs.class_noun}"),
    )
    job = jobs.submit(
        session,
        idempotent.project_id,
        "edit",
        subject_id=subject_id,
        prior_id=prior_id,
        edit_id=edit.id,
        related=[edit],
        parameters=parameters,
        metadata=new_edit.metadata,
        webhook_url=new_edit.webhook_url,
        webhook_events=new_edit.webhook_events or (),
        request_id=request.state.request_id,
        idempotency_key=idempotent.key,
        deadline_seconds=new_edit.deadline_seconds,
        priority=new_edit.priority,
        base_model=base_model,
    )
    note_others(session, job, shown, has_statement, caller_of(request).actor)
    return job


def _check_marks(session: Session, idempotent: IdempotentRequest, new_edit: NewEdit) -> None:
    """Raise Problem if the results cannot have the watermark or the label that the request asks for."""
    if new_edit.result_kind == "published" and not idempotent.service.settings.watermark_key.get_secret_value():
        raise problems.invalid("this service has no watermark: choose archival", param="result_kind")
    if not new_edit.visible_label or new_edit.result_kind is not None:
        return
    project = projects.get(session, idempotent.project_id)
    if project is not None and project.result_kind == "archival":
        detail = "the project's results are archival, without a visible label: set result_kind to published, too"
        raise problems.invalid(detail, param="visible_label")


def _inputs(session: Session, project_id: str, new_edit: NewEdit, named: BaseModel | None) -> EditInputs:
    """The rows that the edit names. Raises Problem unless all of it exists and fits."""
    inputs = edit_inputs.find(
        session,
        project_id,
        subject_id=new_edit.subject_id,
        prior_id=new_edit.prior_id,
        image_id=new_edit.image_id,
        mask_image_id=new_edit.mask_image_id,
        base_model=named.fingerprint if named else None,
    )
    if new_edit.prior_id is not None:
        _check_prior(inputs, new_edit.prior_id)
    if inputs.subject_id is None:
        raise problems.not_found("subject", new_edit.subject_id or "", param="subject_id")
    if inputs.consent_ended:
        raise consent_ended()
    if new_edit.use_prior and inputs.prior_id is None:
        of_model = f" of the base model {named.name}" if named else ""
        detail = (
            f"the subject has no ready prior{of_model}: POST /v1/subjects/{inputs.subject_id}/priors "
            f"{'with this base_model ' if named else ''}and wait for its job"
        )
        raise Problem("prior_not_ready", detail, param="subject_id")
    require_subject(new_edit, f"{inputs.token} {inputs.class_noun}")
    _check_images(inputs, new_edit)
    return inputs


def _check_prior(inputs: EditInputs, prior_id: str) -> None:
    if inputs.prior_id is None:
        raise problems.not_found("prior", prior_id, param="prior_id")
    if inputs.ready_at is None:
        raise Problem("prior_not_ready", "wait until its job has succeeded", param="prior_id")


def _check_images(inputs: EditInputs, new_edit: NewEdit) -> None:
    if inputs.width is None:
        raise problems.not_found("image", new_edit.image_id, param="image_id")
    if new_edit.mask_image_id is None:
        return
    if inputs.mask_width is None:
        raise problems.not_found("image", new_edit.mask_image_id, param="mask_image_id")
    if (inputs.mask_width, inputs.mask_height) != (inputs.width, inputs.height):
        detail = (
            f"the mask has {inputs.mask_width} x {inputs.mask_height} pixels, "
            f"the image {inputs.width} x {inputs.height}: send a mask of the image's size"
        )
        raise Problem("mask_size_mismatch", detail, param="mask_image_id")
