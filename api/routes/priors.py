"""Priors: the artefacts learned from a subject's references. Creating one starts a training."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import Field, ValidationInfo, field_validator
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import problems
from api.artefact_body import ArtefactBody, artefact_body
from api.auth import CallerDep, caller_of
from api.choices import Preset, chosen
from api.consent import require_valid
from api.dry_run import DryRunBody, dry_run
from api.fields import (
    DeadlineSeconds,
    Metadata,
    Moment,
    PathId,
    Priority,
    RequestModel,
    ResponseModel,
    WebhookUrl,
    check_url,
)
from api.filters import METADATA_PARAMETER, MetadataFilter, StatusFilter
from api.idempotency import IdempotencyDep, IdempotentRequest
from api.job_body import JobBody, JobWarning
from api.pagination import Listing, PageDep, listing
from api.policy import POLICY_PROBLEMS, for_dry_run, require_policy
from api.prior_parameters import PriorParameters, RegularizationParameters
from api.problems import problem_responses
from api.service import ServiceDep
from api.submission import JOB_PROBLEMS, WaitDep, submit_job
from api.webhook_choice import require_webhook_url
from ledger import artefacts, consents, jobs, policy, priors, results, subjects
from ledger.models import Job, Prior
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

    previews: Annotated[int, Field(ge=0, le=20)] = 4
    """Largest number of preview images during the training. Set 0 for the fastest training."""

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


class PriorBody(ResponseModel):
    """A prior; `ready_at` and `adapter_sha256` are null until its job has succeeded."""

    id: str
    """Id of the prior."""

    subject_id: str
    """Id of the subject."""

    adapter_sha256: str | None
    """SHA-256 of the adapter file, in hexadecimal; null until the training has succeeded."""

    reference_ids: list[str]
    """Ids of the images that the prior was trained on, in the order of its captions. Some may be deleted since. Empty
    until the training has succeeded."""

    ready_at: Moment | None
    """Time at which the training succeeded, in UTC; null until then."""

    created_at: Moment
    """Time at which the training was requested, in UTC."""

    warnings: list[JobWarning]
    """Reasons why edits with this prior will probably be poor: the warnings of its newest job."""

    @classmethod
    def of(cls, prior: Prior, warnings: Iterable[Mapping[str, str]]) -> "PriorBody":
        """The body of a row, with the warnings of its newest job."""
        columns = {name: getattr(prior, name) for name in PriorBody.model_fields if name != "warnings"}
        return PriorBody.model_validate(columns | {"warnings": list(warnings)})


class DownloadablePrior(PriorBody):
    """A prior with its newest job and, when ready, its manifest and files: adapter, manifest, previews."""

    job_id: str | None
    """Id of the newest job; null if it was deleted."""

    manifest: dict[str, Any] | None
    """Base model and settings of the training; null until it has succeeded."""

    artefacts: list[ArtefactBody]
    """Files: adapter, manifest and previews. Empty until the training has succeeded, and after the end of the consent
    of the person shown."""


@router.post(
    "/subjects/{subject_id}/priors",
    status_code=202,
    operation_id="train_prior",
    response_model=JobBody,
    responses=problem_responses(*JOB_PROBLEMS, *POLICY_PROBLEMS, "consent_ended"),
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
    responses=problem_responses(*JOB_PROBLEMS, *POLICY_PROBLEMS, "consent_ended"),
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
        job = jobs.of_prior(session, caller.project_id, prior_id)
        is_withheld = job is None or consents.ended(session, [prior.subject_id])
        files = [] if job is None or is_withheld else artefacts.of_job(session, caller.project_id, job.id)
        return DownloadablePrior(
            **PriorBody.of(prior, job.warnings if job else ()).model_dump(),
            job_id=job.id if job else None,
            manifest=prior.manifest,
            artefacts=[artefact_body(service, artefact) for artefact in files],
        )


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
    prior = priors.create(session, idempotent.project_id, subject_id)
    return jobs.submit(
        session,
        idempotent.project_id,
        "prior",
        subject_id=subject_id,
        prior_id=prior.id,
        parameters={
            "prior": new_prior.parameters.given(),
            **({"choices": choices} if (choices := chosen({"preset": new_prior.preset})) else {}),
            "regularization": new_prior.regularization.given(),
            "previews": new_prior.previews,
        },
        metadata=new_prior.metadata,
        webhook_url=new_prior.webhook_url,
        webhook_events=new_prior.webhook_events or (),
        request_id=request_id,
        idempotency_key=idempotent.key,
        deadline_seconds=new_prior.deadline_seconds,
        priority=new_prior.priority,
    )
