"""The request's id: the caller's own if it is valid, else a new one. It is in the answer, the logs and the job."""

import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from ledger.tracing import trace_names

VALID_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

STREAMS = "/events"
"""A stream of events lasts as long as its job."""

log = logging.getLogger("api.request")


class RequestIdMiddleware:
    """ASGI middleware that sets `X-Request-Id` and writes one log line for each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request its id, then handle it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        header = Headers(scope=scope).get("x-request-id", "")
        request_id = header if VALID_ID.fullmatch(header) else f"req_{uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = request_id
        start, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        traceparent = scope["app"].state.tracing.traceparent()
        with bound_contextvars(request_id=request_id, **trace_names(traceparent)):
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                seconds = time.perf_counter() - start
                log.info("%s %s %s %d ms", scope["method"], scope["path"], status, round(seconds * 1000))
                self._count(scope, status, seconds)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None)
        if route is None or not route.endswith(STREAMS):
            scope["app"].state.metrics.count_request(scope["method"], route, status, seconds)
