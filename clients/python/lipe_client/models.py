"""Types of the service's responses. Fields that a newer service adds are ignored."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from lipe_client.consent import Consent
from lipe_client.model import Model

Status = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
Kind = Literal["prior", "edit", "captions"]
Category = Literal["animal", "object", "person"]
DeliveryState = Literal["pending", "delivered", "exhausted", "disabled"]
Scope = Literal["read", "write", "admin"]
Method = Literal[
    "nima",
    "nima_single_pass",
    "ddim",
    "sdedit",
    "prompt_to_prompt",
    "masactrl",
    "dreamctrl",
    "imagic",
    "ledits",
    "mystyle",
]
OutputFormat = Literal["png", "jpeg", "webp"]
Preset = Literal["fast", "balanced", "best"]
Identity = Literal["low", "normal", "high"]
Change = Literal["small", "normal", "large"]
ResultKind = Literal["archival", "published"]
CredentialState = Literal["absent", "valid", "untrusted", "broken"]
TERMINAL_STATUSES = frozenset({"succeeded", "failed", "canceled", "expired"})


class Image(Model):
    """An uploaded image, stored as an sRGB JPEG or PNG. Only the response for one image has `url`, a signed URL."""

    id: str
    width: int
    height: int
    content_type: str
    size: int
    sha256: str
    created_at: datetime
    faces: int | None = None
    url: str | None = None


class Region(Model):
    """A rectangle of an image in pixels, from its top left."""

    left: int
    top: int
    width: int
    height: int


class ClaimedAction(Model):
    """One action that an image's credentials claim, such as c2pa.edited."""

    action: str
    digital_source_type: str | None = None
    software: str | None = None
    regions: tuple[Region, ...] = ()


class ClaimSigner(Model):
    """The certificate that signed an image's credentials."""

    organization: str | None = None
    common_name: str | None = None
    serial_number: str | None = None
    algorithm: str | None = None


class Verification(Model):
    """The claims of an image file about itself. `watermark` is None if the service did not look for one.

    `edit_id` is set if this service made the file and the key's project has the edit.
    """

    credentials: CredentialState
    made_here: bool
    edit_id: str | None = None
    failures: tuple[str, ...] = ()
    signer: ClaimSigner | None = None
    software: str | None = None
    actions: tuple[ClaimedAction, ...] = ()
    ingredients: int = 0
    watermark: bool | None = None


class Upload(Model):
    """An announced upload: the URL and the headers for the PUT of its file."""

    id: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


class Reference(Model):
    """A reference image of a subject."""

    image_id: str
    caption: str | None = None


class Subject(Model):
    """A person, animal or object that priors are trained for. Prompts name it by its `phrase`."""

    id: str
    name: str
    class_noun: str
    token: str
    category: str
    consent: Consent | None = None
    not_a_person: bool = False
    references: tuple[Reference, ...]
    metadata: dict[str, str]
    created_at: datetime

    @property
    def phrase(self) -> str:
        """The words for the subject in a prompt, such as "sks dog"."""
        return f"{self.token} {self.class_noun}"


class Phrase(Model):
    """A phrase of a caption. `score` is the logarithm of odds by CLIP: below 0 the image fits better without it."""

    text: str
    score: float
    is_doubtful: bool


class ImageCaption(Model):
    """The caption of an image; `target_prompt` if the request gave an action. `phrases` are empty without a CLIP."""

    image_id: str
    caption: str
    phrases: tuple[Phrase, ...] = ()
    target_prompt: str | None = None


class JobError(Model):
    """Why a job failed."""

    code: str
    detail: str


class JobWarning(Model):
    """A reason why the result of a job will probably be poor. The service's docs/warnings.md explains each code."""

    code: str
    message: str


class Artefact(Model):
    """A file that a job produced, with a signed URL that expires after some minutes."""

    role: str
    name: str
    content_type: str
    size: int
    sha256: str
    details: dict[str, Any]
    url: str


class JobProgress(Model):
    """Progress of the running attempt: `step` of `total` in its `stage`.

    `preview` is the newest preview image; its `details["step"]` is the step at which it was generated.
    """

    stage: str
    step: int
    total: int
    eta_seconds: float | None = None
    loss: float | None = None
    preview: Artefact | None = None


class Captions(Model):
    """The captions of a job, by its id, in the order of the request. Empty until the job has succeeded."""

    id: str
    subject_id: str
    status: Status
    captioner: str | None
    captions: tuple[ImageCaption, ...]
    warnings: tuple[JobWarning, ...] = ()


class JobWaiting(Model):
    """Why a queued job waits. `position` counts the project's queued jobs of this kind; 1 is the first."""

    reason: str
    position: int | None


class Job(Model):
    """A job as it was when the service answered: a training (`kind` "prior"), an edit, or captions."""

    id: str
    kind: Kind
    status: Status
    subject_id: str
    prior_id: str | None
    edit_id: str | None
    attempt: int
    waiting: JobWaiting | None = None
    progress: JobProgress | None
    error: JobError | None
    warnings: tuple[JobWarning, ...] = ()
    parameters: dict[str, Any]
    resolved: dict[str, Any]
    metrics: dict[str, Any]
    metadata: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.status in TERMINAL_STATUSES


class ServedModel(Model):
    """A base model that live workers have loaded. `license` is that of its model card, if it states one.

    `miniature`: it is LIPE's own small model, which knows drawings and no photos. `recipe` has the settings that apply
    where a request gives none, and `choices` those that presets and the other choices replace, by section.
    """

    name: str
    fingerprint: str
    family: str
    native_size: int
    miniature: bool
    license: str | None
    recipe: dict[str, dict[str, Any]] = Field(default_factory=dict)
    choices: dict[str, dict[str, dict[str, dict[str, Any]]]] = Field(default_factory=dict)
    kinds: tuple[Kind, ...]
    workers: int


class ServedModels(Model):
    """The list of served models."""

    data: tuple[ServedModel, ...]


class DryRun(Model):
    """The effects that a request for a job would have. Nothing was created.

    `resolved` has all settings of the job. `seconds` of work on a worker are estimated from `based_on_jobs` finished
    jobs; without any, `reason` says so. `position` is the place in the queue; 1 is the first, None is over 200.
    """

    resolved: dict[str, Any]
    images: int
    seconds: float | None
    based_on_jobs: int
    reason: str | None
    position: int | None


class Progress(Model):
    """One event of a job: a state change (`type` such as "prior.running"), or progress ("prior.progress")."""

    sequence: int
    type: str
    at: datetime
    data: dict[str, Any]

    def __str__(self) -> str:
        """A line for people: "training 12/60" for progress, and otherwise the type, such as "prior.running"."""
        return self.type if self.stage is None else f"{self.stage} {self.step}/{self.total}"

    @property
    def stage(self) -> str | None:
        """The stage of the job, in a progress event."""
        return self.data.get("stage")

    @property
    def step(self) -> int | None:
        """The number of finished steps of the stage."""
        return self.data.get("step")

    @property
    def total(self) -> int | None:
        """The number of steps of the stage."""
        return self.data.get("total")

    @property
    def preview(self) -> Artefact | None:
        """The newest preview image, if there is one."""
        preview = self.data.get("preview")
        return Artefact.model_validate(preview) if preview else None

    @property
    def warnings(self) -> tuple[JobWarning, ...]:
        """The new warnings, in an event such as "prior.warning"."""
        return tuple(JobWarning.model_validate(warning) for warning in self.data.get("warnings", ()))

    @property
    def is_last(self) -> bool:
        """Whether this is the last event of the job."""
        return self.type.rpartition(".")[2] in TERMINAL_STATUSES


class PriorSummary(Model):
    """A prior of a subject, with the warnings of its newest job.

    `ready_at` and `reference_ids` are set once its training job succeeded.
    """

    id: str
    subject_id: str
    adapter_sha256: str | None
    reference_ids: tuple[str, ...] = ()
    ready_at: datetime | None
    created_at: datetime
    warnings: tuple[JobWarning, ...] = ()


class Prior(PriorSummary):
    """A prior with its newest job and, once it is ready, its files: adapter, manifest and previews."""

    manifest: dict[str, Any] | None
    job_id: str | None
    artefacts: tuple[Artefact, ...]


class Result(Model):
    """One edited image. Masks are white where the image may change."""

    prompt: str | None
    seed: int | None
    image: Artefact
    source_mask: Artefact | None = None
    edit_mask: Artefact | None = None
    uncomposited: Artefact | None = None


class Mix(Model):
    """The second prior of an edit, and its weight. `prior_id` is None if it was deleted."""

    prior_id: str | None
    weight: float


class EditSummary(Model):
    """The request of an edit, with the warnings of its newest job.

    If its prior was deleted, it has `prior_deleted_at` and no `prior_id`; a deleted prior of its `mix` likewise.
    """

    id: str
    subject_id: str
    prior_id: str | None
    prior_deleted_at: datetime | None = None
    mix: Mix | None = None
    image_id: str
    mask_image_id: str | None
    method: str
    source_prompt: str | None
    target_prompts: tuple[str, ...]
    created_at: datetime
    warnings: tuple[JobWarning, ...] = ()


class Edit(EditSummary):
    """An edit with its newest job and, once it has succeeded, one result for each prompt and seed.

    `used_source_prompt` is the description of the source that the job used. Of an edit by `action`, `target_prompts`
    has the prompt that the service made.
    """

    job_id: str | None
    status: Status | None
    action: str | None = None
    used_source_prompt: str | None = None
    results: tuple[Result, ...]


class Secrets(Model):
    """Webhook secrets (`whsec_...`), newest first. Each of them signs every delivery.

    After a rotation only the newest signs from `former_expires_at` on.
    """

    secrets: tuple[str, ...]
    former_expires_at: datetime | None = None


class ApiKey(Model):
    """An API key, without its secret. `scope` includes those before it: read, write, admin."""

    id: str
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewApiKey(ApiKey):
    """A key that was just created. The service stores no copy of `api_key`."""

    api_key: str


class Project(Model):
    """The project that a key belongs to."""

    id: str
    name: str


class OwnKey(Model):
    """The key of this client. `scopes` has `scope` and those before it: read, write, admin."""

    id: str
    name: str
    scope: Scope
    scopes: tuple[Scope, ...]
    project: Project
    created_at: datetime
    expires_at: datetime | None


class Quota(Model):
    """A limit of the project in the unit of its name: a number, seconds or bytes.

    It is whole again after `reset_seconds`; None for a limit without a window.
    """

    name: str
    quota: int
    remaining: int
    reset_seconds: int | None


class Usage(Model):
    """The project's active jobs and its quotas."""

    queued_jobs: int
    running_jobs: int
    max_running_jobs: int
    quotas: tuple[Quota, ...]


class Decision(Model):
    """A decision of the append-only log. `number` is its place in the project's log.

    `kind` is prompt, references, captions, import, result or consent; `outcome` such as allowed or refused; `reason` a
    code.
    `digests` are the SHA-256 of prompts, and `hash` covers the decision and the hash of the one before it.
    """

    id: str
    number: int
    kind: str
    outcome: str
    reason: str | None
    policy: str | None
    actor: str
    ids: tuple[str, ...]
    digests: tuple[str, ...]
    previous: str
    hash: str
    created_at: datetime


class Endpoint(Model):
    """A URL that receives events. Only the response that created it has `secrets`, newest first."""

    id: str
    url: str
    events: tuple[str, ...]
    disabled_at: datetime | None
    created_at: datetime
    secrets: tuple[str, ...] = ()


class Delivery(Model):
    """The delivery of one event to one URL. `body` is the webhook's body."""

    id: str
    endpoint_id: str | None
    job_id: str
    message_id: str
    event_type: str
    url: str
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None
    created_at: datetime
    body: dict[str, Any]
