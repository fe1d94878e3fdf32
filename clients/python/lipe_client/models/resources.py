"""Subjects, priors and edits."""

from datetime import datetime
from typing import Any

from lipe_client.consent import Consent
from lipe_client.model import Model
from lipe_client.models.jobs import Artefact, JobWarning
from lipe_client.models.words import Status


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


class TrainedModel(Model):
    """The base model that a prior belongs to."""

    name: str
    fingerprint: str


class PriorSummary(Model):
    """A prior of a subject, with the warnings of its newest job.

    `ready_at`, `base_model` and `reference_ids` are set once its training job succeeded.
    """

    id: str
    subject_id: str
    adapter_sha256: str | None
    base_model: TrainedModel | None = None
    reference_ids: tuple[str, ...] = ()
    ready_at: datetime | None
    created_at: datetime
    warnings: tuple[JobWarning, ...] = ()


class Snapshot(Model):
    """A prior as it was after `step` of its training, with its scores. Edits use the chosen one."""

    step: int
    identity: float
    flexibility: float | None
    is_chosen: bool
    is_recommended: bool
    adapter_sha256: str
    preview: Artefact | None = None


class Prior(PriorSummary):
    """A prior with its newest job and, once it is ready, its files and its snapshots, first step first.

    The files with the roles "adapter" and "manifest" are those of the chosen snapshot.
    """

    manifest: dict[str, Any] | None
    job_id: str | None
    artefacts: tuple[Artefact, ...]
    snapshots: tuple[Snapshot, ...] = ()


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
