"""API keys: an `admin` key creates, lists and revokes the keys of its project. `lipe keys` does so without a key."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from api import problems
from api.auth import CallerDep
from api.fields import Moment, Name, PathId, RequestModel, ResponseModel
from api.pagination import Listing, PageDep, Time, listing
from api.problems import problem_responses
from api.service import ServiceDep
from ledger import keys
from ledger.database import now
from ledger.keys import ProjectScope, Scope
from ledger.models import ApiKey

router = APIRouter(prefix="/keys", tags=["keys"])


class NewKey(RequestModel):
    """A key to create."""

    name: Name
    """Name that says where the key is used, so that you know which one to revoke."""

    scope: ProjectScope = "write"
    """Right of the key: `read` sees everything but secrets, `write` also changes it, and `admin` also manages keys,
    webhook endpoints and signing secrets. Give `read` to a program that only shows results."""

    expires_at: Time | None = None
    """Time at which the key stops working, in UTC or with a zone. Default: never. Give it for a key of a person or of a
    test. It cannot be later than the expiry of the key that sends this request."""


class KeyBody(ResponseModel):
    """A key, without its secret."""

    id: str
    """Id of the key, which is also its second part: `lipe_<id>_...`."""

    name: str
    """Name of the key."""

    scope: Scope
    """Right of the key. `write` includes `read`, `admin` includes both, and `operator` includes all three."""

    created_at: Moment
    """Time at which the key was created, in UTC."""

    expires_at: Moment | None
    """Time at which the key stops working, in UTC; null for a key without an expiry."""

    revoked_at: Moment | None
    """Time at which the key was revoked, in UTC; null until then."""

    last_used_at: Moment | None
    """Time of the last use, in UTC and exact to the minute; null for a key that was never used."""

    @classmethod
    def of(cls, key: ApiKey) -> "KeyBody":
        """The body of a row."""
        fields = {name: getattr(key, name) for name in cls.model_fields if name != "scope"}
        return cls(**fields, scope=keys.widest_scope(key))


class KeyWithSecret(KeyBody):
    """A new key. This answer is the only one that has `api_key`."""

    api_key: str = Field(description="The key itself, `lipe_...`. The service stores no copy: keep it now.")


@router.post("", status_code=201, operation_id="create_key", response_model=KeyWithSecret)
def create_key(new_key: NewKey, service: ServiceDep, caller: CallerDep, response: Response) -> Any:
    """Create a key for this project. The answer is not stored, so that a repeated request creates another key."""
    with service.begin() as session:
        mine = keys.get(session, caller.project_id, caller.key_id)
        limit = mine.expires_at if mine else None
        _check_expiry(new_key.expires_at, now(session), limit)
        key, token = keys.create(
            session,
            service.settings.key_pepper.get_secret_value(),
            caller.project_id,
            new_key.name,
            scope=new_key.scope,
            expires_at=new_key.expires_at,
        )
        body = KeyWithSecret(**KeyBody.of(key).model_dump(), api_key=token)
    response.headers["Cache-Control"] = "no-store"
    return body


@router.get("", operation_id="list_keys", response_model=Listing[KeyBody])
def list_keys(service: ServiceDep, caller: CallerDep, window: PageDep) -> Any:
    """The project's keys, newest first, with those that expired or were revoked."""
    with service.begin() as session:
        return listing(keys.listing(session, caller.project_id, window), KeyBody.of)


@router.delete("/{key_id}", status_code=204, operation_id="revoke_key", responses=problem_responses("not_found"))
def revoke_key(key_id: PathId, service: ServiceDep, caller: CallerDep) -> None:
    """Revoke a key, for ever. It stops working within a second. A key may revoke itself."""
    with service.begin() as session:
        if not keys.revoke(session, caller.project_id, key_id):
            raise problems.not_found("valid key", key_id)


def _check_expiry(expires_at: datetime | None, present: datetime, limit: datetime | None) -> None:
    """Refuse an expiry in the past, and one after `limit`, the expiry of the key that creates the new one."""
    if expires_at is not None and expires_at <= present:
        raise problems.invalid("must be in the future", param="expires_at")
    if limit is not None and (expires_at is None or expires_at > limit):
        raise problems.invalid(f"must be {limit.isoformat()} or earlier, when your own key expires", param="expires_at")
