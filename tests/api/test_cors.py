"""CORS: closed by default, open for the configured origins, also on refusals and unexpected failures."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import make_app
from ledger.settings import Settings

ORIGIN, ANOTHER = "https://app.example.com", "http://localhost:5173"
FOREIGN = "https://evil.example"


@pytest.fixture(scope="module")
def open_app(server_settings: Settings) -> Iterator[FastAPI]:
    """The application for pages of two origins."""
    opened = make_app(server_settings.model_copy(update={"cors_origins": f"{ORIGIN}, {ANOTHER}"}))
    with TestClient(opened):
        yield opened


def test_it_is_closed_by_default(api: TestClient) -> None:
    answer = api.get("/v1/jobs", headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert api.options("/v1/jobs", headers=preflight(ORIGIN)).status_code == 405


@pytest.mark.parametrize("origin", [ORIGIN, ANOTHER])
def test_a_preflight_needs_no_key(open_app: FastAPI, origin: str) -> None:
    answer = TestClient(open_app).options("/v1/edits", headers=preflight(origin))
    assert answer.status_code == 200, answer.text
    assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in answer.headers
    assert {"authorization", "idempotency-key", "last-event-id"} <= words(
        answer.headers["access-control-allow-headers"]
    )


def test_a_page_can_read_the_headers_that_clients_need(open_app: FastAPI, api: TestClient) -> None:
    key = api.headers["authorization"]
    answer = TestClient(open_app).get("/v1/jobs", headers={"Origin": ORIGIN, "Authorization": key})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
    exposed = words(answer.headers["access-control-expose-headers"])
    assert {"location", "ratelimit", "retry-after", "etag", "x-request-id"} <= exposed
    assert "origin" in words(answer.headers["vary"])


def test_a_page_can_read_refusals(open_app: FastAPI, api: TestClient) -> None:
    page = TestClient(open_app, headers={"Origin": ORIGIN})
    refusals = [
        page.get("/v1/jobs"),  # no key
        page.get("/v1/nothing", headers={"Authorization": api.headers["authorization"]}),
        page.post("/v1/edits", content=b"x" * 300_000, headers={"Authorization": api.headers["authorization"]}),
    ]
    assert [answer.status_code for answer in refusals] == [401, 404, 413]
    assert {answer.headers["access-control-allow-origin"] for answer in refusals} == {ORIGIN}


def test_a_page_can_read_an_unexpected_failure(
    open_app: FastAPI, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.jobs.listing", lambda *arguments, **options: 1 / 0)
    page = TestClient(open_app, headers={"Origin": ORIGIN}, raise_server_exceptions=False)
    answer = page.get("/v1/jobs", headers={"Authorization": api.headers["authorization"]})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_another_origin_stays_outside(open_app: FastAPI) -> None:
    answer = TestClient(open_app).options("/v1/edits", headers=preflight(FOREIGN))
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers
    assert (
        "access-control-allow-origin" not in TestClient(open_app).get("/healthz", headers={"Origin": FOREIGN}).headers
    )


def preflight(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
    }


def words(header: str) -> set[str]:
    return {word.strip().lower() for word in header.split(",")}
