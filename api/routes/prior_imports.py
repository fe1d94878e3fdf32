"""Imports: priors made from LoRA files of other programs instead of a training."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field, ValidationInfo, field_validator
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import problems
from api.auth import caller_of
from api.base_model import BASE_MODEL_PROBLEMS, BaseModelName, model_of_job
from api.consent import require_valid
from api.fields import Id, Metadata, PathId, RequestModel, WebhookUrl, check_url
from api.idempotency import IdempotencyDep, IdempotentRequest, json_response
from api.image_creation import discard
from api.job_body import JobBody
from api.policy import POLICY_PROBLEMS, require_policy
from api.prior_import import store_lora, use_upload
from api.problems import Problem, problem_responses
from api.submission import JOB_PROBLEMS, WaitDep, submit_job
from api.webhook_choice import require_webhook_url
from ledger import jobs, policy, priors, subjects, uploads
from ledger.idempotency import Answer
from ledger.models import Job
from ledger.storage import StoredObject
from ledger.webhooks import PriorEventType

router = APIRouter(tags=["priors"])


class NewImport(RequestModel):
    """A LoRA that another program trained, as an upload."""

    upload_id: Id
    """Id of an upload of the type `application/x-safetensors`, whose file must have arrived. Each upload makes one
    prior."""

    base_model: BaseModelName | None = None
    """Name or fingerprint of the base model that the LoRA was trained on, as `GET /v1/models` has them. Default: the
    service's. Give it if the service has several."""

    metadata: Metadata = Field(default_factory=dict)
    webhook_url: WebhookUrl | None = None
    """URL that gets the events of this job. Default: only the project's endpoints get them. Give it if the receiver
    depends on the job."""

    webhook_events: Annotated[list[PriorEventType] | None, Field(min_length=1)] = None
    """Types of the events that `webhook_url` gets. Default: those of the job's end, such as `prior.succeeded`. Add
    `prior.started` to learn when a worker begins."""

    @field_validator("webhook_events")
    @classmethod
    def _has_a_url(cls, events: list[PriorEventType] | None, info: ValidationInfo) -> list[PriorEventType] | None:
        return require_webhook_url(events, info)


@router.post(
    "/subjects/{subject_id}/priors/import",
    status_code=202,
    operation_id="import_prior",
    response_model=JobBody,
    responses=problem_responses(
        *JOB_PROBLEMS,
        *POLICY_PROBLEMS,
        *BASE_MODEL_PROBLEMS,
        "consent_ended",
        "upload_incomplete",
        "upload_used",
        "lora_invalid",
        "storage_unavailable",
    ),
)
async def import_prior(
    subject_id: PathId, request: Request, idempotent: IdempotencyDep, wait: WaitDep, new_import: NewImport
) -> Response:
    """Make a prior from a LoRA file; 202 with the job. The file's header is checked now, its tensors by the job."""
    check_url(idempotent.service.settings, new_import.webhook_url, param="webhook_url")
    found = await run_in_threadpool(store_lora, idempotent, subject_id, new_import.upload_id)
    if isinstance(found, Answer):
        return json_response(found)
    prior_id, stored = found
    ids = {"subject_id": subject_id, "upload_id": new_import.upload_id}
    question = policy.about_import(idempotent.service.storage, idempotent.project_id, ids, stored)
    create_job = partial(_create_job, idempotent, subject_id, new_import, request.state.request_id, prior_id, stored)
    try:
        await require_policy(idempotent.service, caller_of(request), lambda session: question)
        response = await submit_job(idempotent, create_job, wait)
    except Problem:
        await run_in_threadpool(discard, idempotent.service, stored.key)
        raise
    file = uploads.file_key(idempotent.project_id, new_import.upload_id)
    await run_in_threadpool(discard, idempotent.service, file)  # the prior has its own copy
    return response


def _create_job(
    idempotent: IdempotentRequest,
    subject_id: str,
    new_import: NewImport,
    request_id: str,
    prior_id: str,
    stored: StoredObject,
    session: Session,
) -> Job:
    if subjects.get(session, idempotent.project_id, subject_id) is None:
        raise problems.not_found("subject", subject_id)
    require_valid(session, subject_id)
    model = model_of_job(session, idempotent.service.settings, new_import.base_model, "prior")
    use_upload(session, idempotent, new_import.upload_id)
    priors.create(session, idempotent.project_id, subject_id, prior_id=prior_id)
    return jobs.submit(
        session,
        idempotent.project_id,
        "prior",
        subject_id=subject_id,
        prior_id=prior_id,
        parameters={"import": {"sha256": stored.sha256, "size": stored.size}},
        metadata=new_import.metadata,
        webhook_url=new_import.webhook_url,
        webhook_events=new_import.webhook_events or (),
        request_id=request_id,
        idempotency_key=idempotent.key,
        base_model=model.fingerprint if model else None,
    )
