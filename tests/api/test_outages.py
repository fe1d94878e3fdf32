"""Outages: without the broker nothing fails; without database or storage the answer is a retryable problem."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import select

from api.app import make_app
from api.service import SUBMITTING_THREADS
from ledger.database import UnitOfWork
from ledger.models import OutboxEntry, Project
from ledger.settings import Settings
from tests.support.api_fixtures import METRICS_TOKEN, NewKey
from tests.support.uploads import png

NOWHERE = "127.0.0.1:9"


@pytest.fixture
def without(settings: Settings, project: Project, new_key: NewKey) -> Iterator[Callable[..., TestClient]]:
    """`without(broker_url=...)`: the application with another setting."""
    opened: list[TestClient] = []

    def open_with(**changes: str) -> TestClient:
        app = make_app(settings.model_copy(update=changes | {"metrics_token": SecretStr(METRICS_TOKEN)}))
        client = TestClient(app, headers={"Authorization": f"Bearer {new_key(project)}"})
        opened.append(client.__enter__())
        return client

    yield open_with
    for client in opened:
        client.__exit__(None, None, None)


def test_no_job_is_lost_without_the_broker(
    without: Callable[..., TestClient], subject: dict[str, Any], begin: UnitOfWork
) -> None:
    api = without(broker_url=f"redis://{NOWHERE}/0")
    answer = api.post(f"/v1/subjects/{subject['id']}/priors")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    with begin() as session:
        assert [(entry.topic, entry.identifier) for entry in session.scalars(select(OutboxEntry))] == [
            ("lipe.prior", answer.json()["id"])
        ]
    assert api.get("/readyz").raise_for_status().json() == {"database": True, "broker": False, "storage": True}


def test_a_silent_broker_delays_no_other_request(
    without: Callable[..., TestClient],
    subject: dict[str, Any],
    project: Project,
    new_key: NewKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ledger.notify.TIMEOUT_SECONDS", 20.0)  # no notification times out before the socket is closed
    with ThreadPoolExecutor(2 * SUBMITTING_THREADS) as users, socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20.0)
        api = without(broker_url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        path = f"/v1/subjects/{subject['id']}/priors"
        submitted = [users.submit(api.post, path) for _ in range(2 * SUBMITTING_THREADS)]
        with ExitStack() as waiting:
            for _ in range(SUBMITTING_THREADS):  # every submitting thread waits for the broker's answer
                waiting.enter_context(silent.accept()[0])
            unknown = {"Authorization": f"Bearer {new_key(project)}"}  # not cached, so that the middleware looks it up
            assert api.get(f"/v1/subjects/{subject['id']}", headers=unknown).status_code == 200
            assert not any(each.done() for each in submitted)
            silent.close()
        assert [each.result().status_code for each in submitted] == [202] * len(submitted)


def test_a_running_broker_is_notified(api: TestClient, subject: dict[str, Any], begin: UnitOfWork) -> None:
    assert api.post(f"/v1/subjects/{subject['id']}/priors").status_code == 202
    with begin() as session:
        assert session.scalars(select(OutboxEntry)).all() == []
    assert api.get("/readyz").status_code == 200


def test_without_the_database(without: Callable[..., TestClient]) -> None:
    api = without(database_url=f"postgresql+psycopg://u:p@{NOWHERE}/x")
    answer = api.get("/v1/jobs")
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, "unavailable", True)
    assert answer.headers["retry-after"]
    assert api.get("/healthz").status_code == 200
    assert api.get("/readyz").status_code == 503
    assert api.get("/readyz").json() == {"database": False, "broker": True, "storage": True}
    metrics = api.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).raise_for_status().text
    assert "lipe_database_up 0.0" in metrics
    assert "lipe_jobs{" not in metrics


def test_without_the_storage(without: Callable[..., TestClient]) -> None:
    api = without(s3_endpoint_url=f"http://{NOWHERE}")
    answer = api.post("/v1/images", content=png())
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, "storage_unavailable", True)
    assert api.get("/v1/images").json()["data"] == []
    assert api.get("/readyz").raise_for_status().json() == {"database": True, "broker": True, "storage": False}


def test_a_silent_storage_delays_readiness_by_little(without: Callable[..., TestClient]) -> None:
    """A health check must not time out with the storage."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = without(s3_endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert api.get("/readyz").raise_for_status().json()["storage"] is False
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # it was asked once, and not again
            silent.accept()
