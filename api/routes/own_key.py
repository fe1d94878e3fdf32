"""The key of the request: who the caller is, what it may do, and how much of its project's quotas is left."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from api import problems
from api.auth import CallerDep
from api.fields import Moment, ResponseModel
from api.service import ServiceDep
from ledger import keys, projects, quotas
from ledger.keys import Scope

router = APIRouter(tags=["keys"])


class OwnProject(ResponseModel):
    """The project that a key belongs to."""

    id: str
    """Id of the project."""

    name: str
    """Name of the project, as `lipe projects list` shows it."""


class OwnKey(ResponseModel):
    """The key that sent the request."""

    id: str
    """Id of the key, which is also its second part: `lipe_<id>_...`."""

    name: str
    """Name of the key."""

    scope: Scope
    """Right of the key. `write` includes `read`, `admin` includes both, and `operator` includes all three."""

    scopes: list[Scope]
    """All rights of the key, with those that `scope` includes. Ask `"write" in scopes` before you offer a change."""

    project: OwnProject
    """The project that the key sees and changes."""

    created_at: Moment
    """Time at which the key was created, in UTC."""

    expires_at: Moment | None
    """Time at which the key stops working, in UTC; null for a key without an expiry."""


class QuotaBody(ResponseModel):
    """A limit of the project, and how much of it is left."""

    name: str
    """Name of the quota, as in the header `RateLimit`: `queued-jobs`, `gpu-seconds`, `subjects`, `images`,
    `image-bytes`, `pending-uploads` or `webhook-endpoints`."""

    quota: int
    """The limit, in the unit of its name: a number, seconds or bytes."""

    remaining: int
    """How much of it is left, in the same unit."""

    reset_seconds: int | None
    """Seconds until the quota is whole again; null for one that has no window."""


class UsageBody(ResponseModel):
    """The project's active jobs and its quotas."""

    queued_jobs: int
    """Number of the project's jobs that wait for a worker."""

    running_jobs: int
    """Number of the project's jobs that a worker runs."""

    max_running_jobs: int
    """Number of the project's jobs that may run at the same time."""

    quotas: list[QuotaBody] = Field(description="The project's quotas.")


@router.get("/key", operation_id="get_key", response_model=OwnKey)
def get_key(service: ServiceDep, caller: CallerDep) -> Any:
    """The key that sends this request, with its rights and its project."""
    with service.begin() as session:
        key = keys.get(session, caller.project_id, caller.key_id)
        project = projects.get(session, caller.project_id)
        if key is None or project is None:
            raise problems.not_found("key", caller.key_id)
        facts = {"id": key.id, "name": key.name, "created_at": key.created_at, "expires_at": key.expires_at}
        owner = OwnProject(id=project.id, name=project.name)
        scopes = [scope for scope in keys.SCOPES if scope in key.scopes]
        return OwnKey(**facts, scope=keys.widest_scope(key), scopes=scopes, project=owner)


@router.get("/usage", operation_id="get_usage", response_model=UsageBody)
def get_usage(service: ServiceDep, caller: CallerDep) -> Any:
    """The project's active jobs, and how much of each quota is left."""
    settings = service.settings
    with service.begin() as session:
        queued, running = quotas.count_active(session, caller.project_id)
        statuses = quotas.of_project(session, caller.project_id, settings)
        most = quotas.max_running(session, caller.project_id, settings)
    rows = [
        QuotaBody(name=one.name, quota=one.quota, remaining=one.remaining, reset_seconds=one.reset) for one in statuses
    ]
    return UsageBody(queued_jobs=queued, running_jobs=running, max_running_jobs=most, quotas=rows)
