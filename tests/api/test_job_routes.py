"""Jobs: reading, lists, waiting, cancellation, retries."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import make_app
from ledger import attempts, workers
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from tests.support.api_fixtures import NewKey

Work = Callable[..., None]


@pytest.fixture
def job(api: TestClient, subject: dict[str, Any]) -> dict[str, Any]:
    """A queued training."""
    body: dict[str, Any] = api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status().json()
    return body


def test_an_etag_changes_with_the_job(api: TestClient, job: dict[str, Any], work: Work) -> None:
    path = f"/v1/jobs/{job['id']}"
    etag = api.get(path).headers["etag"]
    unchanged = api.get(path, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    work(job["id"])
    assert api.get(path, headers={"If-None-Match": etag}).json()["status"] == "succeeded"


def test_a_queued_job_says_why_it_waits(
    api: TestClient, job: dict[str, Any], subject: dict[str, Any], begin: UnitOfWork, work: Work
) -> None:
    path = f"/v1/jobs/{job['id']}"
    alone = api.get(path)
    assert alone.json()["waiting"] == {"reason": "no_worker_serves_it", "position": 1}
    with begin() as session:
        workers.report(session, "host:1", ["prior"], {})
    served = api.get(path, headers={"If-None-Match": alone.headers["etag"]})  # the job's row has not changed
    assert (served.status_code, served.json()["waiting"]) == (200, {"reason": "workers_busy", "position": 1})
    api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status()
    newest, oldest = (row["waiting"] for row in api.get("/v1/jobs").json()["data"])
    assert (newest, oldest) == ({"reason": "jobs_before_it", "position": 2}, served.json()["waiting"])
    work(job["id"])
    assert api.get(path).json()["waiting"] is None


def test_lists_are_filtered(api: TestClient, job: dict[str, Any], subject: dict[str, Any], work: Work) -> None:
    work(job["id"])
    waiting = api.post(f"/v1/subjects/{subject['id']}/priors").json()["id"]

    def found(**filters: str) -> list[str]:
        return [row["id"] for row in api.get("/v1/jobs", params=filters).json()["data"]]

    assert found() == [waiting, job["id"]]
    assert found(status="queued", kind="prior") == [waiting]
    assert found(status="succeeded") == [job["id"]]
    assert found(kind="edit") == []
    assert api.get("/v1/jobs", params={"status": "unknown"}).status_code == 422


def test_cancel_and_retry(api: TestClient, job: dict[str, Any], work: Work) -> None:
    early = api.post(f"/v1/jobs/{job['id']}/retry")
    assert (early.status_code, early.json()["code"]) == (409, "job_not_retryable")
    for _ in range(2):  # a second cancellation changes nothing
        assert api.post(job["urls"]["cancel"]).json()["status"] == "canceled"
    again = api.post(job["urls"]["retry"])
    assert again.status_code == 202
    retried = again.json()
    assert (retried["status"], retried["prior_id"]) == ("queued", job["prior_id"])
    assert api.post(job["urls"]["retry"]).json()["code"] == "job_not_retryable"  # it has a newer one
    work(retried["id"])
    assert api.get(retried["urls"]["result"]).json()["job_id"] == retried["id"]
    assert api.post(retried["urls"]["retry"]).json()["code"] == "job_not_retryable"  # it succeeded
    assert api.post(retried["urls"]["cancel"]).json()["status"] == "succeeded"


def test_the_cancellation_of_a_running_job_is_requested(
    api: TestClient, job: dict[str, Any], begin: UnitOfWork
) -> None:
    with begin() as session:
        assert attempts.claim(session, job["id"], "worker-1", lease_seconds=60)
    etag = api.get(job["urls"]["self"]).headers["etag"]
    body = api.post(job["urls"]["cancel"]).json()
    assert body["status"] == "running"
    assert body["cancel_requested_at"]
    assert api.get(job["urls"]["self"], headers={"If-None-Match": etag}).status_code == 200


def test_prefer_waits_until_the_job_ends(api: TestClient, subject: dict[str, Any], work: Work) -> None:
    def finish() -> None:
        while not (waiting := api.get("/v1/jobs").json()["data"]):
            time.sleep(0.05)
        work(waiting[0]["id"])

    worker = threading.Thread(target=finish)
    worker.start()
    answer = api.post(f"/v1/subjects/{subject['id']}/priors", headers={"Prefer": "wait=30"})
    worker.join()
    assert (answer.status_code, answer.json()["status"]) == (202, "succeeded")
    assert answer.headers["preference-applied"] == "wait=30"


def test_prefer_stops_waiting_after_its_time(api: TestClient, subject: dict[str, Any]) -> None:
    start = time.monotonic()
    answer = api.post(f"/v1/subjects/{subject['id']}/priors", headers={"Prefer": "respond-async, wait=1"})
    assert time.monotonic() - start >= 1
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    answer = api.post(f"/v1/subjects/{subject['id']}/priors", headers={"Prefer": "wait=soon"})
    assert "preference-applied" not in answer.headers


@pytest.fixture
def limited(settings: Settings, project: Project, new_key: NewKey, api: TestClient) -> Iterator[TestClient]:
    """The application with a limit of one queued job."""
    app = make_app(settings.model_copy(update={"max_queued_jobs": 1}))
    with TestClient(app, headers=dict(api.headers)) as client:
        yield client


def test_the_queue_is_limited(limited: TestClient, subject: dict[str, Any]) -> None:
    path, key = f"/v1/subjects/{subject['id']}/priors", {"Idempotency-Key": "one"}
    assert limited.post(path, headers=key).status_code == 202
    full = limited.post(path)
    assert (full.status_code, full.json()["code"], full.json()["retryable"]) == (429, "too_many_queued_jobs", True)
    assert full.headers["retry-after"] == "30"
    assert len(limited.get("/v1/subjects/" + subject["id"] + "/priors").json()["data"]) == 1
    assert limited.post(path, headers=key).status_code == 202  # a repeated request is no new job
