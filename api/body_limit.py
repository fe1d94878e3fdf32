"""No body is read further than its bound: by its announced length before the first byte, by counting after."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.problems import Problem


class BodyLimitMiddleware:
    """ASGI middleware; `bound(path)` is the most bytes that a body sent there may have."""

    def __init__(self, app: ASGIApp, bound: Callable[[str], int]) -> None:
        self.app = app
        self.bound = bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a body that is announced too long; stop reading one that turns out to be."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bound = self.bound(scope["path"])
        too_large = Problem("body_too_large", f"send at most {bound} bytes to this path")
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > bound:
            await problems.answer(Request(scope), too_large)(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > bound:
                raise too_large
            return message

        await self.app(scope, counted, send)
