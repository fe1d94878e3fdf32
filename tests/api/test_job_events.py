"""Server-sent events over a real server: every event once, in order, to the end; replay after a break."""

import json
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from api import job_events, job_watch
from ledger import attempts
from ledger.artefacts import NewArtefact
from ledger.attempts import Progress
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.storage import Storage, attempt_prefix
from tests.support.api_fixtures import NewKey

Event = dict[str, Any]


@pytest.fixture
def job(api: TestClient, subject: dict[str, Any]) -> str:
    """A queued training."""
    return str(api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status().json()["id"])


@pytest.fixture
def listen(server: str, project: Project, new_key: NewKey) -> Callable[..., Iterator[Event]]:
    """`listen(job_id, last)`: the events after number `last`, as parsed fields."""
    headers = {"Authorization": f"Bearer {new_key(project)}"}

    def events(job_id: str, last: int | None = None) -> Iterator[Event]:
        header = {} if last is None else {"Last-Event-ID": str(last)}
        url = f"{server}/v1/jobs/{job_id}/events"
        with httpx.stream("GET", url, headers=headers | header, timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            event: Event = {}
            for line in answer.iter_lines():
                if not line and event:
                    yield event | {"data": json.loads(event["data"])}
                    event = {}
                elif line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    event[name] = value

    return events


def test_a_job_is_followed_to_its_end(
    listen: Callable[..., Iterator[Event]], job: str, begin: UnitOfWork, work: Callable[..., None]
) -> None:
    events = listen(job)
    assert next(events)["event"] == "prior.queued"
    worker = threading.Thread(target=work, args=(job,))
    worker.start()
    rest = list(events)
    worker.join()
    assert [event["event"] for event in rest] == ["prior.running", "prior.succeeded"]
    assert [int(event["id"]) for event in rest] == [2, 3]
    last = rest[-1]["data"]
    assert (last["sequence"], last["type"], last["data"]["status"]) == (3, "prior.succeeded", "succeeded")


def test_only_the_newest_progress_is_sent_in_its_place(
    listen: Callable[..., Iterator[Event]], job: str, begin: UnitOfWork
) -> None:
    with begin() as session:
        claim = attempts.claim(session, job, "worker-1", lease_seconds=60)
        assert claim
    for step in (1, 2, 3):
        with begin() as session:
            attempts.renew(session, claim, Progress("training", step, 9, {"loss": 0.5}), lease_seconds=60)
    seen = list(islice(listen(job), 3))
    assert [event["event"] for event in seen] == ["prior.queued", "prior.running", "prior.progress"]
    assert seen[2]["data"]["data"] == {"stage": "training", "step": 3, "total": 9, "loss": 0.5}
    assert [int(event["id"]) for event in seen] == [1, 2, 5]


def test_a_client_that_reconnects_gets_the_events_that_it_missed(
    api: TestClient, server: str, listen: Callable[..., Iterator[Event]], job: str, work: Callable[..., None]
) -> None:
    work(job)
    assert [event["event"] for event in listen(job, 1)] == ["prior.running", "prior.succeeded"]
    assert [event["event"] for event in listen(job, 2)] == ["prior.succeeded"]
    over = httpx.get(f"{server}/v1/jobs/{job}/events", headers={**dict(api.headers), "Last-Event-ID": "3"})
    assert over.status_code == 204  # an EventSource does not reconnect
    for invalid in ("x", "-1", "1" * 30, "4"):  # a text, two numbers that no event has, and one of the future
        refused = httpx.get(f"{server}/v1/jobs/{job}/events", headers={**dict(api.headers), "Last-Event-ID": invalid})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_progress_shows_its_preview(
    api: TestClient, stranger: TestClient, listen: Callable[..., Iterator[Event]], job: str, begin: UnitOfWork,
    storage: Storage,
) -> None:  # fmt: skip
    with begin() as session:
        claim = attempts.claim(session, job, "worker-1", lease_seconds=60)
        assert claim
    put = storage.put(attempt_prefix(claim.project_id, job, claim.epoch), "preview-3.png", b"preview", "image/png")
    preview = NewArtefact("preview", "preview-3.png", "image/png", put, {"step": 3, "prompt": "sks dog"})
    with begin() as session:
        attempts.renew(session, claim, Progress("training", 4, 9, preview=preview), lease_seconds=60)
    event = list(islice(listen(job), 3))[2]["data"]["data"]
    body = api.get(f"/v1/jobs/{job}").json()["progress"]
    for progress in (event, body):
        body_preview = progress["preview"]
        assert httpx.get(body_preview.pop("url")).content == b"preview"
        assert body_preview == {
            "role": "preview", "name": "preview-3.png", "content_type": "image/png", "size": 7, "sha256": put.sha256,
            "details": {"step": 3, "prompt": "sks dog"},
        }  # fmt: skip
    assert stranger.get(f"/v1/jobs/{job}").status_code == 404
    with begin() as session:
        attempts.finish_failed(session, claim, "gpu_out_of_memory", "too large", {})
    progress = api.get(f"/v1/jobs/{job}").json()["progress"]
    assert (progress["step"], progress["preview"]) == (4, None)
    assert [event["data"]["data"].get("preview") for event in listen(job)] == [None] * 4


def test_the_stream_survives_an_outage_of_the_database(
    listen: Callable[..., Iterator[Event]], job: str, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = listen(job)
    next(events)
    real, calls = job_watch.read, []

    def unavailable(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) < 3:
            raise OperationalError("SELECT", {}, Exception("the database is restarted"))
        return real(*arguments)

    monkeypatch.setattr(job_watch, "read", unavailable)
    api.post(f"/v1/jobs/{job}/cancel")
    assert [event["event"] for event in events] == ["prior.canceled"]
    assert len(calls) >= 3


def test_a_cancel_ends_the_stream(api: TestClient, listen: Callable[..., Iterator[Event]], job: str) -> None:
    events = listen(job)
    next(events)
    api.post(f"/v1/jobs/{job}/cancel")
    assert [event["event"] for event in events] == ["prior.canceled"]


def test_a_silent_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch, server: str, api: TestClient, job: str) -> None:
    monkeypatch.setattr(job_events, "KEEP_ALIVE_SECONDS", 0.2)
    with httpx.stream("GET", f"{server}/v1/jobs/{job}/events", headers=dict(api.headers), timeout=5) as answer:
        assert any(line.startswith(":") for line in answer.iter_lines())
