"""Who calls, and may they? Nothing under /v1 is reached without a live API key: the gate stands before the routes.

A key with the scope `read` may GET; everything else needs `write`, and so does whatever shows a secret.
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

GUARDED = "/v1"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="lipe"'}


@dataclass(frozen=True)
class Caller:
    """The project that a request acts for, and what its key allows."""

    project_id: str
    key_id: str
    scopes: frozenset[str]


class AuthMiddleware:
    """ASGI middleware: what it lets through carries its Caller in the request's state.

    A key is looked up once a second, however often it comes: so long may one be used that was revoked or ran out.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._second = 0
        self._callers: dict[str, Caller] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a guarded path without a live key of the right scope."""
        if scope["type"] == "http" and (scope["path"] + "/").startswith(f"{GUARDED}/"):
            request = Request(scope)
            try:
                caller = await self._caller(request)
                require(caller, "read" if scope["method"] in READING else "write")
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
    """Whose key this is. Raises Problem."""
    if not token:
        raise Problem("unauthenticated", "send the header `Authorization: Bearer lipe_...`", headers=CHALLENGE)
    with service.look() as connection:
        key = keys.authenticate(connection, service.settings.key_pepper.get_secret_value(), token)
    if key is None:
        challenge = {"WWW-Authenticate": f'{CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'}
        raise Problem("unauthenticated", "the API key is wrong, expired or revoked: use another", headers=challenge)
    return Caller(key.project_id, key.id, frozenset(key.scopes))


def require(caller: Caller, scope: str) -> None:
    """Raise Problem unless the caller's key has the scope."""
    if scope not in caller.scopes:
        raise Problem("insufficient_scope", f"this needs a key with the scope `{scope}`")


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def caller_of(request: Request) -> Caller:
    """Who sent it, as the gate found out."""
    caller: Caller = request.state.caller
    return caller


async def _me(request: Request) -> Caller:
    return caller_of(request)


async def _writer(request: Request) -> Caller:
    caller = caller_of(request)
    require(caller, "write")
    return caller


CallerDep = Annotated[Caller, Depends(_me)]
Writer = Annotated[Caller, Depends(_writer)]
"""For a GET that shows a secret: who reads it could forge what it signs."""

described = Security(HTTPBearer(auto_error=False, description="An API key: `lipe_...`"))
"""Tells OpenAPI what the gate does."""
