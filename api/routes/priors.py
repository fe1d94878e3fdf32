"""Priors: the artefacts learned from a subject's references. Creating one starts a training."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import Field, ValidationInfo, field_validator
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import problems
from api.auth import CallerDep, caller_of
from api.base_model import BASE_MODEL_PROBLEMS, BaseModelName, model_of_training
from api.choices import Preset, chosen
from api.consent import require_valid
from api.dry_run import DryRunBody, dry_run
from api.fields import (
    DeadlineSeconds,
    Metadata,
    PathId,
    Priority,
    RequestModel,
    WebhookUrl,
    check_url,
)
from api.filters import METADATA_PARAMETER, MetadataFilter, StatusFilter
from api.idempotency import IdempotencyDep, IdempotentRequest
from api.job_body import JobBody
from api.pagination import Listing, PageDep, listing
from api.policy import POLICY_PROBLEMS, for_dry_run, require_policy
from api.prior_body import DownloadablePrior, PriorBody, downloadable_prior
from api.prior_parameters import PriorParameters, RegularizationParameters
from api.problems import problem_responses
from api.service import ServiceDep
from api.submission import JOB_PROBLEMS, WaitDep, submit_job
from api.webhook_choice import require_webhook_url
from ledger import jobs, policy, priors, results, subjects
from ledger.models import Job
from ledger.policy import Question
from ledger.webhooks import PriorEventType

router = APIRouter(tags=["priors"])


class NewPrior(RequestModel):
    """A training. All fields are optional."""

    preset: Preset = "balanced"
    """Time against likeness: `fast` makes half of the training steps, `best` twice as many. docs/presets.md has the
    measured gain. Change it before single parameters."""

    parameters: PriorParameters = PriorParameters()
    """Settings of the training, which replace those of the preset. Default: the recipe of the base model. Change them
    if the subject is not learned well."""

    regularization: RegularizationParameters = RegularizationParameters()
    """Settings of the images of the class, which the base model generates. Default: the recipe of the base model.
    Most trainings need no change."""

    base_model: BaseModelName | None = None
    """Name or fingerprint of the base model to train on, as `GET /v1/models` has them. Default: the service's. The
    prior works with this base model only. Give it if the service has several."""

    previews: Annotated[int, Field(ge=0, le=20)] = 4
    """Largest number of preview images during the training. Set 0 for the fastest training."""

    snapshots: Annotated[int, Field(ge=0, le=20)] | None = None
    """Number of steps before the last one, evenly apart, whose adapters are kept to choose from. Default: 3 for a LoRA,
    0 for full attention weights, whose files are large. Set 0 to save storage, which each one needs as the last."""

    deadline_seconds: DeadlineSeconds = None
    priority: Priority = 0
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


OptionalNewPrior = Annotated[NewPrior, Body(default_factory=NewPrior)]


@router.post(
    "/subjects/{subject_id}/priors",
    status_code=202,
    operation_id="train_prior",
    response_model=JobBody,
    responses=problem_responses(*JOB_PROBLEMS, *POLICY_PROBLEMS, *BASE_MODEL_PROBLEMS, "consent_ended"),
)
async def train_prior(
    subject_id: PathId, request: Request, idempotent: IdempotencyDep, wait: WaitDep, new_prior: OptionalNewPrior
) -> Response:
    """Learn a subject from its references; 202 with the job."""
    check_url(idempotent.service.settings, new_prior.webhook_url, param="webhook_url")
    await require_policy(idempotent.service, caller_of(request), partial(_question, idempotent, subject_id))
    create_job = partial(_create_job, idempotent, subject_id, new_prior, request.state.request_id)
    return await submit_job(idempotent, create_job, wait)


@router.post(
    "/subjects/{subject_id}/priors/dry-run",
    operation_id="dry_run_prior",
    response_model=DryRunBody,
    responses=problem_responses(*JOB_PROBLEMS, *POLICY_PROBLEMS, *BASE_MODEL_PROBLEMS, "consent_ended"),
)
async def dry_run_prior(
    subject_id: PathId, request: Request, idempotent: IdempotencyDep, new_prior: OptionalNewPrior
) -> DryRunBody:
    """Check a request for a training, quotas and the operator's policy included, and estimate its time.

    Nothing is created.
    """
    service, unkeyed = idempotent.service, replace(idempotent, key=None)
    check_url(service.settings, new_prior.webhook_url, param="webhook_url")
    await require_policy(service, caller_of(request), for_dry_run(partial(_question, unkeyed, subject_id)))
    create_job = partial(_create_job, idempotent, subject_id, new_prior, request.state.request_id)
    return await run_in_threadpool(dry_run, service, idempotent.project_id, "prior", "prior", create_job)


@router.get(
    "/subjects/{subject_id}/priors",
    operation_id="list_priors",
    response_model=Listing[PriorBody],
    responses=problem_responses("not_found"),
    openapi_extra=METADATA_PARAMETER,
)
def list_priors(
    subject_id: PathId,
    service: ServiceDep,
    caller: CallerDep,
    window: PageDep,
    metadata: MetadataFilter,
    status: StatusFilter = None,
) -> Any:
    """The subject's priors, newest first."""
    with service.begin() as session:
        if subjects.get(session, caller.project_id, subject_id) is None:
            raise problems.not_found("subject", subject_id)
        page = results.priors(session, caller.project_id, subject_id, window, state=status, metadata=metadata)
        warnings = results.warnings_of_priors(session, [prior.id for prior in page.rows])
        return listing(page, lambda prior: PriorBody.of(prior, warnings.get(prior.id, ())))


@router.get(
    "/priors/{prior_id}",
    operation_id="get_prior",
    response_model=DownloadablePrior,
    responses=problem_responses("not_found"),
)
def get_prior(prior_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """One prior, with signed URLs of its files."""
    with service.begin() as session:
        prior = priors.get(session, caller.project_id, prior_id)
        if prior is None:
            raise problems.not_found("prior", prior_id)
        return downloadable_prior(service, session, prior)


def _question(idempotent: IdempotentRequest, subject_id: str, session: Session) -> Question | None:
    """The question about the captions of the training. Without captions, and for a repeated request, there is none."""
    if idempotent.recall(session) is not None:
        return None
    subject = subjects.get(session, idempotent.project_id, subject_id)
    captions = [("caption", reference.caption or "") for reference in subject.references] if subject else []
    if not any(caption for _, caption in captions):
        return None
    return policy.about_prompts(idempotent.project_id, captions, {"subject_id": subject_id}, [])


def _create_job(
    idempotent: IdempotentRequest, subject_id: str, new_prior: NewPrior, request_id: str, session: Session
) -> Job:
    if subjects.get(session, idempotent.project_id, subject_id) is None:
        raise problems.not_found("subject", subject_id)
    require_valid(session, subject_id)
    given = new_prior.parameters.given()
    model = model_of_training(session, idempotent.service.settings, new_prior.base_model, given)
    prior = priors.create(session, idempotent.project_id, subject_id)
    return jobs.submit(
        session,
        idempotent.project_id,
        "prior",
        subject_id=subject_id,
        prior_id=prior.id,
        parameters={
            "prior": given,
            **({"choices": choices} if (choices := chosen({"preset": new_prior.preset})) else {}),
            "regularization": new_prior.regularization.given(),
            "previews": new_prior.previews,
            "snapshots": new_prior.snapshots,
        },
        metadata=new_prior.metadata,
        webhook_url=new_prior.webhook_url,
        webhook_events=new_prior.webhook_events or (),
        request_id=request_id,
        idempotency_key=idempotent.key,
        deadline_seconds=new_prior.deadline_seconds,
        priority=new_prior.priority,
        base_model=model.fingerprint if model else None,
    )
