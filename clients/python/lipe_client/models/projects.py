"""Keys, quotas, decisions, webhooks, and the base models that workers serve."""

from datetime import datetime
from typing import Any

from pydantic import Field

from lipe_client.model import Model
from lipe_client.models.words import DeliveryState, Kind, Scope, WorkerState


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


class Worker(Model):
    """A worker process. `adapters` are the SHA-256 of the adapters in its memory; without a GPU `gpu` is None.

    A lost worker has not reported for 45 seconds.
    """

    name: str
    host: str
    version: str
    gpu: str | None
    gpu_memory_bytes: int | None
    kinds: tuple[Kind, ...]
    base_model: str | None
    fingerprint: str | None
    adapters: tuple[str, ...]
    state: WorkerState
    job_id: str | None
    seen_at: datetime


class Workers(Model):
    """The list of workers."""

    data: tuple[Worker, ...]


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
