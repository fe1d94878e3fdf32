"""Jobs, their events, and jobs of captions and masks."""

from datetime import datetime
from typing import Any

from lipe_client.model import Model
from lipe_client.models.words import TERMINAL_STATUSES, Kind, Status


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


class JobWaiting(Model):
    """Why a queued job waits. `position` counts the project's queued jobs of this kind; 1 is the first."""

    reason: str
    position: int | None


class Job(Model):
    """A job as it was when the service answered: a training (`kind` "prior"), an edit, captions, or a mask."""

    id: str
    kind: Kind
    status: Status
    subject_id: str
    prior_id: str | None
    edit_id: str | None
    base_model: str | None = None
    """The fingerprint of the base model that the job needs; None: any."""
    attempt: int
    waiting: JobWaiting | None = None
    progress: JobProgress | None
    error: JobError | None
    warnings: tuple[JobWarning, ...] = ()
    parameters: dict[str, Any]
    resolved: dict[str, Any]
    metrics: dict[str, Any]
    metadata: dict[str, str]
    trace_id: str | None = None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.status in TERMINAL_STATUSES


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


class Captions(Model):
    """The captions of a job, by its id, in the order of the request. Empty until the job has succeeded."""

    id: str
    subject_id: str
    status: Status
    captioner: str | None
    captions: tuple[ImageCaption, ...]
    warnings: tuple[JobWarning, ...] = ()


class Mask(Model):
    """The subject's mask in an image: white where it is. `mask` is None until the job has succeeded.

    `share` is the part of the image that it covers. `cut_off` are the sides at which the frame cuts the subject off.
    """

    id: str
    subject_id: str
    image_id: str
    status: Status
    mask: Artefact | None
    share: float | None
    cut_off: tuple[str, ...] = ()
    warnings: tuple[JobWarning, ...] = ()
