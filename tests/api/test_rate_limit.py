"""Rate limits: a flood is answered 429 without a query, others are not, and memory is bounded."""

from collections.abc import Callable

import anyio
import pytest
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.types import Message

from api import rate_limit
from api.app import make_app
from api.auth import AuthMiddleware
from api.rate_limit import BURST_SECONDS, MAX_BUCKETS, Buckets, RateLimitMiddleware
from ledger.models import Project
from ledger.settings import Settings
from tests.support.api_fixtures import NewKey


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills_again() -> None:
    clock = Clock()
    buckets = Buckets(2.0, clock)
    assert [buckets.wait(b"a") for _ in range(2 * BURST_SECONDS)] == [0.0] * 2 * BURST_SECONDS
    assert buckets.wait(b"a") == 0.5
    assert buckets.wait(b"b") == 0.0
    clock.now = 0.5
    assert (buckets.wait(b"a"), buckets.wait(b"a")) == (0.0, 0.5)
    clock.now = 1e6
    assert [buckets.wait(b"a") for _ in range(2 * BURST_SECONDS + 1)][-1] == 0.5


def test_memory_is_bounded_and_the_busy_bucket_stays() -> None:
    clock = Clock()
    buckets = Buckets(1 / BURST_SECONDS, clock)
    assert buckets.wait(b"busy") == 0.0
    for number in range(2 * MAX_BUCKETS):
        assert buckets.wait(b"%d" % number) == 0.0
        if number % 1000 == 0:
            assert buckets.wait(b"busy") > 0
    assert len(buckets) == MAX_BUCKETS
    assert buckets.wait(b"busy") > 0


def test_no_rate_limits_nothing_and_keeps_nothing() -> None:
    buckets = Buckets(0.0)
    assert {buckets.wait(b"a") for _ in range(1000)} == {0.0}
    assert len(buckets) == 0


@pytest.mark.parametrize(("limited", "name"), [("rate_per_key", "API key"), ("rate_per_address", "address")])
def test_a_flood_is_refused_before_the_database(
    settings: Settings, project: Project, new_key: NewKey, monkeypatch: pytest.MonkeyPatch, limited: str, name: str
) -> None:
    monkeypatch.setattr(rate_limit, "BURST_SECONDS", 3000)
    busy, other = ({"Authorization": f"Bearer {new_key(project)}"} for _ in range(2))
    with TestClient(make_app(settings.model_copy(update={limited: 0.001}))) as api:
        get: Callable[..., int] = lambda headers: api.get("/v1/jobs", headers=headers).status_code  # noqa: E731
        assert [get(busy) for _ in range(3)] == [200] * 3
        monkeypatch.setattr(AuthMiddleware, "_caller", None)  # a request that reached it would fail
        answer = api.get("/v1/jobs", headers=busy)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        assert name in answer.json()["detail"]
        assert 0 < int(answer.headers["retry-after"]) <= 1000
        monkeypatch.undo()
        assert get(other) == (200 if name == "API key" else 429)
        assert api.get("/healthz").status_code == 200


def test_refusals_are_late_but_hold_few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_DELAYED", 2)
    answered, delays = list[int](), list[float]()

    async def flood() -> None:
        released = anyio.Event()

        async def wait(seconds: float) -> None:
            delays.append(seconds)
            await released.wait()

        monkeypatch.setattr(anyio, "sleep", wait)
        limited = RateLimitMiddleware(PlainTextResponse(), per_address=0.001, per_key=0)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.append(message["status"])

        async def request() -> None:
            scope = {"type": "http", "method": "GET", "path": "/v1/jobs", "headers": [], "query_string": b""}
            await limited(scope, receive, send)

        await request()
        async with anyio.create_task_group() as requests:
            for _ in range(2):
                requests.start_soon(request)
            await anyio.wait_all_tasks_blocked()
            assert answered == [200]
            await request()
            assert answered == [200, 429]
            released.set()

    async def receive() -> Message:
        raise AssertionError("a refusal reads no body")

    anyio.run(flood)
    assert answered == [200, 429, 429, 429]
    assert len(set(delays)) == 2  # many refusals do not come back all at the same moment
    assert all(0.5 <= delay <= 1.5 for delay in delays)
