"""Authentication by API key. Every path under /v1 needs a valid key; a middleware checks it before the routes.

The raters of a study have a link instead of a key: the routes of `RATER_PATHS` check its token themselves.

`required_scope` is the one rule that says which scope a request needs. It also holds for paths without a route.
"""

import re
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problem_answers
from api.problems import Problem
from api.service import Service, running_service
from ledger import keys
from ledger.database import UNAVAILABLE
from ledger.keys import Scope as KeyScope

API_PREFIX = "/v1"
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
READ_PATHS = frozenset({f"{API_PREFIX}/verify"})
"""Paths that change nothing by any method: POST carries a file there."""
ADMIN_PATHS = re.compile(rf"{API_PREFIX}/(keys(/.*)?|webhook-endpoints/[^/]+/secret|webhook-secret(/.*)?)")
"""Keys give access, and a signing secret lets its reader forge webhooks."""
OPERATOR_PATHS = re.compile(rf"{API_PREFIX}/workers(/.*)?")
"""Workers belong to no project: the names of machines and the state of the fleet are the operator's."""
ADMIN_CHANGES = re.compile(rf"{API_PREFIX}/webhook-endpoints(/.*)?")
"""An endpoint gets the project's events, also after the key that created it is revoked."""
RATER_PATHS = re.compile(rf"{API_PREFIX}/ratings(/next|/images/[^/]+)?")
"""The paths of raters, exactly: any other path below them needs a key."""
RATER_TOKEN = "X-Study-Token"  # noqa: S105
"""The header with the token of a study's link."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="lipe"'}


@dataclass(frozen=True)
class Caller:
    """The project that a request acts for, and the scopes of its key."""

    project_id: str
    key_id: str
    scopes: frozenset[str]

    @property
    def actor(self) -> str:
        """The key, as the decision log names it."""
        return f"key:{self.key_id}"


class AuthMiddleware:
    """ASGI middleware that puts the Caller into the request's state.

    It looks a key up once per second at most, so a revoked or expired key may work for up to one second more.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._second = 0
        self._callers: dict[str, Caller] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a path under /v1 without a valid key of the right scope."""
        if scope["type"] == "http" and needs_key(scope["path"]):
            request = Request(scope)
            try:
                caller = await self._caller(request)
                _require_scope(caller, required_scope(scope["method"], scope["path"]))
            except (HTTPException, *UNAVAILABLE) as error:
                await problem_answers.answer(request, error)(scope, receive, send)
                return
            request.state.caller = caller
        await self.app(scope, receive, send)

    async def _caller(self, request: Request) -> Caller:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._callers = second, {}
        token = _token(request)
        caller = self._callers.get(token)
        if caller is None:
            service = running_service(request)
            caller = self._callers[token] = await service.authenticating(authenticate, service, token)
        return caller


def needs_key(path: str) -> bool:
    """Whether requests to this path need an API key: all under /v1, except those of raters."""
    return f"{path}/".startswith(f"{API_PREFIX}/") and RATER_PATHS.fullmatch(path) is None


def authenticate(service: Service, token: str) -> Caller:
    """The caller that the key belongs to. Raises Problem for a missing or invalid key."""
    if not token:
        raise Problem("unauthenticated", "send the header `Authorization: Bearer lipe_...`", headers=CHALLENGE)
    with service.autocommit() as connection:
        pepper = service.settings.key_pepper.get_secret_value()
        key = keys.authenticate(connection, pepper, token)
        reason = "" if key else keys.reason_of_refusal(connection, pepper, token)
    if key is None:
        raise Problem("unauthenticated", f"{reason}: use another", headers=_challenge('error="invalid_token"'))
    return Caller(key.project_id, key.id, frozenset(key.scopes))


def required_scope(method: str, path: str) -> KeyScope:
    """The scope that a request needs: `read` to see, `write` to change, `admin` for what gives access to others, and
    `operator` for what belongs to no project.
    """
    if OPERATOR_PATHS.fullmatch(path):
        return "operator"
    is_change = method not in READ_METHODS and path not in READ_PATHS
    if ADMIN_PATHS.fullmatch(path) or (is_change and ADMIN_CHANGES.fullmatch(path)):
        return "admin"
    return "write" if is_change else "read"


def _require_scope(caller: Caller, scope: KeyScope) -> None:
    if scope not in caller.scopes:
        raise Problem(
            "insufficient_scope",
            f"this needs a key with the scope `{scope}`, and yours has {', '.join(sorted(caller.scopes))}",
            headers=_challenge(f'error="insufficient_scope", scope="{scope}"'),
        )


def _challenge(parameters: str) -> dict[str, str]:
    """The header of a refusal, with the parameters of RFC 6750, section 3."""
    return {name: f"{value}, {parameters}" for name, value in CHALLENGE.items()}


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def caller_of(request: Request) -> Caller:
    """The caller that the middleware found."""
    caller: Caller = request.state.caller
    return caller


async def _caller(request: Request) -> Caller:
    return caller_of(request)


CallerDep = Annotated[Caller, Depends(_caller)]

bearer_scheme = Security(HTTPBearer(auto_error=False, description="An API key: `lipe_...`"))
"""Describes the middleware in OpenAPI; it checks nothing itself."""
