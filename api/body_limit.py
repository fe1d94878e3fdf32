"""Limits of request bodies: their size, their speed, and how much of them one project has in progress.

The size is checked against `Content-Length` first, then counted while reading. A body that stalls is refused, because
its request holds memory until it ends.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack

from anyio import fail_after
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problem_answers
from api.problems import Problem
from api.service import running_service

IDLE_SECONDS = 30.0
GRACE_SECONDS = 60.0
MIN_BYTES_PER_SECOND = 16 * 1024
"""The least average speed after the grace: a body that trickles holds memory as well as one that stalls."""


class BodyLimitMiddleware:
    """ASGI middleware; `max_bytes(path)` is the largest body that the path accepts."""

    def __init__(self, app: ASGIApp, max_bytes: Callable[[str], int]) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a body that is announced as too long; stop reading one that becomes too long or too slow."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.max_bytes(scope["path"])
        too_large = Problem("body_too_large", f"send at most {limit} bytes to this path")
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            await problem_answers.answer(Request(scope), too_large)(scope, receive, send)
            return
        read, is_complete, start = 0, False, time.monotonic()

        async def limited() -> Message:
            nonlocal read, is_complete
            if is_complete:  # what follows is the end of the connection, for which a stream waits as long as it lasts
                return await receive()
            left = start + GRACE_SECONDS + read / MIN_BYTES_PER_SECOND - time.monotonic()
            try:
                with fail_after(max(0.0, min(IDLE_SECONDS, left))):
                    message = await receive()
            except TimeoutError as error:
                raise Problem("body_too_slow", f"{read} bytes arrived, then too few: send the body faster") from error
            read += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if read > limit:
                raise too_large
            return message

        await self.app(scope, limited, send)


class BodyShareMiddleware:
    """ASGI middleware inside the authentication: the share of the caller's project (`api.body_shares`).

    `max_bytes(path)` is the size of a body that is not announced.
    """

    def __init__(self, app: ASGIApp, max_bytes: Callable[[str], int]) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a body that exceeds the share."""
        with ExitStack() as held:
            if scope["type"] == "http" and (caller := scope.get("state", {}).get("caller")) is not None:
                request = Request(scope)
                shares = running_service(request).body_shares
                try:
                    held.enter_context(shares.held(caller.project_id, self._size(request)))
                except Problem as refusal:
                    await problem_answers.answer(request, refusal)(scope, receive, send)
                    return
            await self.app(scope, receive, send)

    def _size(self, request: Request) -> int:
        """The announced size, or the largest that the path accepts if the body comes in chunks of unknown number."""
        announced = request.headers.get("content-length", "")
        if announced.isdigit():
            return int(announced)
        return self.max_bytes(request.url.path) if "transfer-encoding" in request.headers else 0
