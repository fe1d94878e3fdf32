"""Authentication by API key. Every path under /v1 needs a valid key; a middleware checks it before the routes.

A key with the scope `read` may GET. Everything else needs `write`, and so does a GET that returns a secret.
"""

import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems
from api.problems import Problem
from api.service import Service, running_service
from ledger import keys
from ledger.database import UNAVAILABLE

API_PREFIX = "/v1"
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="lipe"'}


@dataclass(frozen=True)
class Caller:
    """The project that a request acts for, and the scopes of its key."""

    project_id: str
    key_id: str
    scopes: frozenset[str]


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
        if scope["type"] == "http" and (scope["path"] + "/").startswith(f"{API_PREFIX}/"):
            request = Request(scope)
            try:
                caller = await self._caller(request)
                require_scope(caller, "read" if scope["method"] in READ_METHODS else "write")
            except (HTTPException, *UNAVAILABLE) as error:
                await problems.answer(request, error)(scope, receive, send)
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


def authenticate(service: Service, token: str) -> Caller:
    """The caller that the key belongs to. Raises Problem for a missing or invalid key."""
    if not token:
        raise Problem("unauthenticated", "send the header `Authorization: Bearer lipe_...`", headers=CHALLENGE)
    with service.autocommit() as connection:
        key = keys.authenticate(connection, service.settings.key_pepper.get_secret_value(), token)
    if key is None:
        challenge = {"WWW-Authenticate": f'{CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'}
        raise Problem("unauthenticated", "the API key is wrong, expired or revoked: use another", headers=challenge)
    return Caller(key.project_id, key.id, frozenset(key.scopes))


def require_scope(caller: Caller, scope: str) -> None:
    """Raise Problem unless the caller's key has the scope."""
    if scope not in caller.scopes:
        raise Problem("insufficient_scope", f"this needs a key with the scope `{scope}`")


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def caller_of(request: Request) -> Caller:
    """The caller that the middleware found."""
    caller: Caller = request.state.caller
    return caller


async def _caller(request: Request) -> Caller:
    return caller_of(request)


async def _writer(request: Request) -> Caller:
    caller = caller_of(request)
    require_scope(caller, "write")
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]
WriterDep = Annotated[Caller, Depends(_writer)]
"""For a GET that returns a signing secret: its reader can forge signatures."""

bearer_scheme = Security(HTTPBearer(auto_error=False, description="An API key: `lipe_...`"))
"""Describes the middleware in OpenAPI; it checks nothing itself."""
