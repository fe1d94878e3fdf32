"""Rate limits by address and by API key or link of a study, before the database is asked.

Each API process counts for itself.

A bucket holds up to BURST_SECONDS of requests and fills at the rate of its limit (a token bucket). At most MAX_BUCKETS
are kept: the one that was used longest ago is dropped first, and a dropped bucket starts full again.
"""

import hashlib
import math
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problem_answers
from api.problems import Problem

BURST_SECONDS = 20
MAX_BUCKETS = 10_000
DELAY_SECONDS = (0.5, 1.5)
"""A refusal is answered so much later: a client that repeats it at once would cost as much as one that is answered.

The delay is random, because the refusals of many connections would otherwise come back all at the same moment.
"""
MAX_DELAYED = 100
"""Refusals that wait at once. Others are answered at once, so that they hold no connections that others need."""
LIMITED_PATHS = "/v1/"
CREDENTIALS = (("API key", "authorization"), ("study", "x-study-token"))
"""What a request may be counted for, beside its address: the name, and the header that has it."""


@dataclass
class Buckets:
    """Buckets by key, for `rate` requests a second each; a rate of 0 limits nothing."""

    rate: float
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[bytes, tuple[float, float]] = field(default_factory=OrderedDict)

    def wait(self, key: bytes) -> float:
        """Take one request out of the bucket. Returns 0, or the seconds until there is one."""
        if not self.rate:
            return 0.0
        burst, now = max(1.0, self.rate * BURST_SECONDS), self.clock()
        content, then = self._buckets.pop(key, (burst, now))
        content = min(burst, content + (now - then) * self.rate)
        is_allowed = content >= 1
        self._buckets[key] = (content - 1 if is_allowed else content, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0 if is_allowed else (1 - content) / self.rate

    def __len__(self) -> int:
        """The number of buckets."""
        return len(self._buckets)


class RateLimitMiddleware:
    """ASGI middleware that answers 429 to requests under /v1 above the limits, without authentication."""

    def __init__(self, app: ASGIApp, *, per_address: float, per_key: float) -> None:
        self.app = app
        self._addresses, self._keys = Buckets(per_address), Buckets(per_key)
        self._delayed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429, or pass the request on."""
        if scope["type"] == "http" and scope["path"].startswith(LIMITED_PATHS):
            request = Request(scope)
            if refusal := self._refusal(request):
                await self._delay()
                await problem_answers.answer(request, refusal)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _delay(self) -> None:
        if self._delayed < MAX_DELAYED:
            self._delayed += 1
            try:
                await anyio.sleep(random.uniform(*DELAY_SECONDS))  # noqa: S311 # no secret
            finally:
                self._delayed -= 1

    def _refusal(self, request: Request) -> Problem | None:
        address = request.client.host if request.client else ""
        limits = [("address", self._addresses, address.encode())]
        for name, header in CREDENTIALS:
            if sent := request.headers.get(header):
                # A digest, so that long headers take no memory and no key stays in it.
                digest = hashlib.sha256(sent.encode("latin-1", "replace")).digest()
                limits.append((name, self._keys, digest))
        for name, buckets, key in limits:
            if seconds := buckets.wait(key):
                detail = f"at most {buckets.rate:g} requests a second of one {name} are answered: send fewer"
                return Problem("too_many_requests", detail, headers={"Retry-After": str(math.ceil(seconds))})
        return None
