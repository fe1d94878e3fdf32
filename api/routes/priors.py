"""Priors: what was learnt of a subject. Asking for one starts a training."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import problems
from api.artefact_body import ArtefactBody, artefact_body
from api.auth import CallerDep
from api.fields import Metadata, Moment, PathId, RequestModel, ResponseModel, Seed, WebhookUrl, check_url
from api.filters import METADATA, Status, WithMetadata
from api.idempotency import Creating
from api.job_body import JobBody
from api.pagination import Listing, Paging, listing
from api.problems import documented
from api.service import ServiceDep
from api.submission import REFUSALS, Waiting, submitted
from ledger import artefacts, jobs, priors, results, subjects
from ledger.jobs import Job

router = APIRouter(tags=["priors"])


Projection = Literal["to_q", "to_k", "to_v", "to_out.0"]


class PriorParameters(RequestModel):
    """Settings of the training. What is left out is the base model's own recipe."""

    steps: Annotated[int | None, Field(ge=1, le=20_000)] = None
    batch_size: Annotated[int | None, Field(ge=1, le=16)] = None
    preservation_batch_size: Annotated[int | None, Field(ge=0, le=16)] = None
    learning_rate: Annotated[float | None, Field(gt=0, le=0.1)] = None
    token_learning_rate: Annotated[float | None, Field(ge=0, le=0.1)] = None
    warmup: Annotated[int | None, Field(ge=0, le=20_000)] = None
    tuning: Literal["lora", "full_attention"] | None = None
    rank: Annotated[int | None, Field(ge=1, le=256)] = None
    alpha: Annotated[float | None, Field(gt=0, le=512)] = None
    targets: Annotated[list[Literal["to_q", "to_k", "to_v", "to_out.0"]] | None, Field(min_length=1, max_length=4)] = (
        None
    )
    weight_decay: Annotated[float | None, Field(ge=0, le=1)] = None
    preservation_weight: Annotated[float | None, Field(ge=0, le=10)] = None
    min_snr_gamma: Annotated[float | None, Field(ge=0, le=100)] = None
    subject_emphasis: Annotated[float | None, Field(gt=0, le=100)] = None
    mirror: bool | None = None
    caption_dropout: Annotated[float | None, Field(ge=0, lt=1)] = None
    max_gradient_norm: Annotated[float | None, Field(gt=0, le=1000)] = None
    seed: Seed | None = None


class RegularizationParameters(RequestModel):
    """The pictures of the class that keep the class what it was: how many, and how they are painted."""

    count: Annotated[int | None, Field(ge=1, le=1000)] = None
    steps: Annotated[int | None, Field(ge=1, le=200)] = None
    guidance_scale: Annotated[float | None, Field(ge=1, le=30)] = None
    seed: Seed | None = None


class NewPrior(RequestModel):
    """A training; all of it is optional."""

    parameters: PriorParameters = PriorParameters()
    regularization: RegularizationParameters = RegularizationParameters()
    previews: Annotated[
        int, Field(ge=0, le=20, description="At most so many pictures show on the way what is learnt so far.")
    ] = 4
    metadata: Metadata = Field(default_factory=dict)
    webhook_url: WebhookUrl | None = None


Optional = Annotated[NewPrior, Body(default_factory=NewPrior)]


class PriorBody(ResponseModel):
    """A prior; `ready_at` and `adapter_sha256` are null until its job has succeeded."""

    id: str
    subject_id: str
    adapter_sha256: str | None
    ready_at: Moment | None
    created_at: Moment


class DownloadablePrior(PriorBody):
    """With its newest job and, once ready, its manifest and its files: adapter, manifest, previews."""

    job_id: str | None
    manifest: Annotated[dict[str, Any] | None, Field(description="Base model and settings it was learnt with.")]
    artefacts: list[ArtefactBody]


@router.post(
    "/subjects/{subject_id}/priors",
    status_code=202,
    operation_id="train_prior",
    response_model=JobBody,
    responses=documented(*REFUSALS),
)
async def train_prior(subject_id: PathId, request: Request, once: Creating, wait: Waiting, asked: Optional) -> Response:
    """Learn a subject from its references; 202 with the job."""

    def make(session: Session) -> Job:
        if subjects.get(session, once.project_id, subject_id) is None:
            raise problems.not_found("subject", subject_id)
        prior = priors.create(session, once.project_id, subject_id)
        return jobs.submit(
            session,
            once.project_id,
            "prior",
            subject_id=subject_id,
            prior_id=prior.id,
            parameters={
                "prior": asked.parameters.given(),
                "regularization": asked.regularization.given(),
                "previews": asked.previews,
            },
            metadata=asked.metadata,
            webhook_url=asked.webhook_url,
            request_id=request.state.request_id,
            idempotency_key=once.key,
        )

    if asked.webhook_url is not None:
        await run_in_threadpool(check_url, once.service.settings, asked.webhook_url, param="webhook_url")
    return await submitted(once, make, wait)


@router.get(
    "/subjects/{subject_id}/priors",
    operation_id="list_priors",
    response_model=Listing[PriorBody],
    responses=documented("not_found"),
    openapi_extra=METADATA,
)
def list_priors(
    subject_id: PathId,
    service: ServiceDep,
    me: CallerDep,
    window: Paging,
    metadata: WithMetadata,
    status: Status = None,
) -> Any:
    """The subject's priors, newest first."""
    with service.begin() as session:
        if subjects.get(session, me.project_id, subject_id) is None:
            raise problems.not_found("subject", subject_id)
        page = results.priors(session, me.project_id, subject_id, window, state=status, metadata=metadata)
        return listing(page, PriorBody.model_validate)


@router.get(
    "/priors/{prior_id}",
    operation_id="get_prior",
    response_model=DownloadablePrior,
    responses=documented("not_found"),
)
def get_prior(prior_id: PathId, service: ServiceDep, me: CallerDep) -> Any:
    """One prior, with signed URLs of its files."""
    with service.begin() as session:
        prior = priors.get(session, me.project_id, prior_id)
        if prior is None:
            raise problems.not_found("prior", prior_id)
        job = jobs.of_prior(session, me.project_id, prior_id)
        made = artefacts.of_job(session, me.project_id, job.id) if job else []
        return DownloadablePrior(
            **PriorBody.model_validate(prior).model_dump(),
            job_id=job.id if job else None,
            manifest=prior.manifest,
            artefacts=[artefact_body(service, artefact) for artefact in made],
        )
