"""What the service answers, as values. Fields that a newer service adds are ignored."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
Kind = Literal["prior", "edit"]
Category = Literal["animal", "object", "person"]
DeliveryState = Literal["pending", "delivered", "exhausted", "disabled"]
Method = Literal["nima", "ddim", "sdedit", "prompt_to_prompt", "masactrl", "dreamctrl", "imagic", "ledits", "mystyle"]
OVER = frozenset({"succeeded", "failed", "canceled", "expired"})


class Model(BaseModel):
    """Frozen."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Image(Model):
    """An uploaded picture, as it is kept: an sRGB PNG. `url` (signed, short-lived) where one image was asked for."""

    id: str
    width: int
    height: int
    content_type: str
    size: int
    sha256: str
    created_at: datetime
    url: str | None = None


class Upload(Model):
    """An announced file, and where to PUT it."""

    id: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


class Reference(Model):
    """A subject's reference picture."""

    image_id: str
    caption: str | None = None


class Subject(Model):
    """Who or what is learnt; prompts call it by its `phrase`."""

    id: str
    name: str
    class_noun: str
    token: str
    category: str
    consent: bool
    references: tuple[Reference, ...]
    metadata: dict[str, str]
    created_at: datetime

    @property
    def phrase(self) -> str:
        """How a prompt names it: "sks dog"."""
        return f"{self.token} {self.class_noun}"


class JobError(Model):
    """Why a job failed."""

    code: str
    detail: str


class Artefact(Model):
    """A file that a job made, with a signed URL that is good for a few minutes."""

    role: str
    name: str
    content_type: str
    size: int
    sha256: str
    details: dict[str, Any]
    url: str


class JobProgress(Model):
    """How far the running attempt is: `step` of `total` in its `stage`.

    `preview` is the newest picture of what it has made so far; `details["step"]` tells of which step.
    """

    stage: str
    step: int
    total: int
    eta_seconds: float | None = None
    loss: float | None = None
    preview: Artefact | None = None


class Job(Model):
    """A training (`kind` "prior") or an edit, as it stood when it was asked for."""

    id: str
    kind: Kind
    status: Status
    subject_id: str
    prior_id: str | None
    edit_id: str | None
    attempt: int
    progress: JobProgress | None
    error: JobError | None
    parameters: dict[str, Any]
    resolved: dict[str, Any]
    metrics: dict[str, Any]
    metadata: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_over(self) -> bool:
        """Nothing will change any more."""
        return self.status in OVER


class Progress(Model):
    """One event of a job: a change of state (`type` such as "prior.running"), or "prior.progress" with its step."""

    sequence: int
    type: str
    at: datetime
    data: dict[str, Any]

    @property
    def stage(self) -> str | None:
        """What is being done, where the event says so."""
        return self.data.get("stage")

    @property
    def step(self) -> int | None:
        """How many steps of the stage are done."""
        return self.data.get("step")

    @property
    def total(self) -> int | None:
        """How many steps the stage has."""
        return self.data.get("total")

    @property
    def preview(self) -> Artefact | None:
        """The newest picture of what is learnt so far, where there is one."""
        preview = self.data.get("preview")
        return Artefact.model_validate(preview) if preview else None

    @property
    def is_last(self) -> bool:
        """The job is over."""
        return self.type.rpartition(".")[2] in OVER


class PriorSummary(Model):
    """What was learnt of a subject; `ready_at` once its job succeeded."""

    id: str
    subject_id: str
    adapter_sha256: str | None
    ready_at: datetime | None
    created_at: datetime


class Prior(PriorSummary):
    """With its newest job and, once it is ready, its files: adapter, manifest, previews."""

    manifest: dict[str, Any] | None
    job_id: str | None
    artefacts: tuple[Artefact, ...]


class Result(Model):
    """One edited picture. Masks are white where the picture may change."""

    prompt: str | None
    seed: int | None
    image: Artefact
    source_mask: Artefact | None = None
    edit_mask: Artefact | None = None
    uncomposited: Artefact | None = None


class EditSummary(Model):
    """What was asked."""

    id: str
    subject_id: str
    prior_id: str | None
    image_id: str
    mask_image_id: str | None
    method: str
    source_prompt: str | None
    target_prompts: tuple[str, ...]
    created_at: datetime


class Edit(EditSummary):
    """With its newest job and, once that succeeded, one result for each prompt and seed."""

    job_id: str | None
    status: Status | None
    results: tuple[Result, ...]


class Secrets(Model):
    """`whsec_...`, newest first; each of them signs every delivery."""

    secrets: tuple[str, ...]


class Endpoint(Model):
    """Where events are sent; `secrets` (newest first) where it was just made."""

    id: str
    url: str
    events: tuple[str, ...]
    disabled_at: datetime | None
    created_at: datetime
    secrets: tuple[str, ...] = ()


class Delivery(Model):
    """One event on its way to one URL. `body` is what is sent."""

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
