"""Quotas of a project: reported in every answer, and enforced on creation, also for simultaneous requests."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from api.app import make_app
from ledger import attempts, jobs, priors, quotas
from ledger.database import UnitOfWork
from ledger.models import Project, Usage
from ledger.settings import Settings
from tests.support.api_fixtures import Refuse
from tests.support.races import answer_after
from tests.support.rows import make_image
from tests.support.uploads import png

Within = Callable[..., TestClient]


@pytest.fixture
def within(settings: Settings, api: TestClient) -> Iterator[Within]:
    """`within(max_subjects=1)`: the application with another quota."""
    opened: list[TestClient] = []

    def open_with(**quotas: int) -> TestClient:
        client = TestClient(make_app(settings.model_copy(update=quotas)), headers=dict(api.headers))
        opened.append(client.__enter__())
        return client

    yield open_with
    for client in opened:
        client.__exit__(None, None, None)


def statuses_of(call: Callable[[int], Any], times: int = 12) -> list[int]:
    """The statuses of `times` simultaneous calls."""
    with ThreadPoolExecutor(times) as pool:
        return sorted(answer.status_code for answer in pool.map(call, range(times)))


def test_the_queue_is_full_for_simultaneous_requests(within: Within, subject: dict[str, Any]) -> None:
    limited = within(max_queued_jobs=3)
    path = f"/v1/subjects/{subject['id']}/priors"
    assert statuses_of(lambda _: limited.post(path)) == [202] * 3 + [429] * 9
    assert len(limited.get(path).json()["data"]) == 3
    full = limited.post(path)
    assert full.json()["code"] == "too_many_queued_jobs"
    assert full.headers["ratelimit"].startswith('"queued-jobs";r=0, ')
    assert full.headers["retry-after"] == "30"


def test_a_job_waits_for_another_one_that_is_being_queued(
    within: Within, subject: dict[str, Any], begin: UnitOfWork, project: Project, settings: Settings
) -> None:
    """The other one is of another API process: one process queues one job of a project at a time."""
    limited = within(max_queued_jobs=1)

    def queue(session: Session) -> None:
        prior = priors.create(session, project.id, subject["id"])
        jobs.submit(session, project.id, "prior", subject_id=subject["id"], prior_id=prior.id, parameters={})
        quotas.of_jobs(session, project.id, settings.model_copy(update={"max_queued_jobs": 1}))

    answer = answer_after(begin, queue, lambda: limited.post(f"/v1/subjects/{subject['id']}/priors"))
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_queued_jobs")


def test_subjects_are_counted_for_simultaneous_requests(
    within: Within, subject: dict[str, Any], upload: Callable[..., str]
) -> None:
    limited = within(max_subjects=4)
    payload = {"name": "Rex", "class_noun": "dog", "references": [upload(color) for color in ("red", "tan", "navy")]}
    assert statuses_of(lambda _: limited.post("/v1/subjects", json=payload)) == [201] * 3 + [409] * 9
    assert len(limited.get("/v1/subjects").json()["data"]) == 4
    refused = limited.post("/v1/subjects", json=payload)
    assert (refused.json()["code"], refused.json()["retryable"]) == ("too_many_subjects", False)
    assert limited.delete(f"/v1/subjects/{subject['id']}").status_code == 204
    made = limited.post("/v1/subjects", json=payload)
    assert (made.status_code, made.headers["ratelimit"]) == (201, '"subjects";r=0')
    assert made.headers["ratelimit-policy"] == '"subjects";q=4'


def test_pending_uploads_are_counted_for_simultaneous_requests(within: Within) -> None:
    limited, payload = within(max_pending_uploads=3), {"content_type": "image/png", "size": len(png())}
    assert statuses_of(lambda _: limited.post("/v1/uploads", json=payload)) == [201] * 3 + [429] * 9
    full = limited.post("/v1/uploads", json=payload)
    assert (full.json()["code"], full.headers["ratelimit"]) == ("too_many_uploads", '"pending-uploads";r=0')


def test_the_gpu_seconds_of_a_day(
    within: Within, api: TestClient, subject: dict[str, Any], begin: UnitOfWork, stranger: TestClient
) -> None:
    limited = within(max_gpu_seconds_per_day=100)
    path = f"/v1/subjects/{subject['id']}/priors"
    job = limited.post(path)
    assert re.fullmatch(r'"queued-jobs";q=100, "gpu-seconds";q=100;w=86400', job.headers["ratelimit-policy"])
    left = re.fullmatch(r'"queued-jobs";r=99, "gpu-seconds";r=100;t=(\d+)', job.headers["ratelimit"])
    assert left is not None
    assert 0 < int(left[1]) <= 86_400
    with begin() as session:
        claim = attempts.claim(session, job.json()["id"], "worker-1", lease_seconds=60)
        assert claim is not None
        assert attempts.finish_failed(session, claim, "internal_error", "a test", {})
    with begin() as session:
        (used,) = session.query(Usage).all()
        assert 0 < used.gpu_seconds < 60
        used.gpu_seconds = 100
    refused = limited.post(path)
    assert (refused.status_code, refused.json()["code"]) == (429, "gpu_seconds_used_up")
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert '"gpu-seconds";r=0;t=' in refused.headers["ratelimit"]
    assert len(api.get(path).json()["data"]) == 1
    references = [stranger.post("/v1/images", content=png(color)).json()["id"] for color in ("red", "tan", "navy")]
    payload = {"name": "Rex", "class_noun": "dog", "references": references}
    theirs = stranger.post("/v1/subjects", json=payload).json()["id"]
    assert '"gpu-seconds";r=86400' in stranger.post(f"/v1/subjects/{theirs}/priors").headers["ratelimit"]


def test_a_repeated_answer_has_no_rate_limit_headers(api: TestClient, subject: dict[str, Any]) -> None:
    path, key = f"/v1/subjects/{subject['id']}/priors", {"Idempotency-Key": "one"}
    assert "ratelimit" in api.post(path, headers=key).headers
    assert "ratelimit" not in api.post(path, headers=key).headers


def test_images_are_counted_for_simultaneous_requests(within: Within, api: TestClient) -> None:
    limited = within(max_images=3)
    assert statuses_of(lambda _: limited.post("/v1/images", content=png()), times=6) == [201] * 3 + [409] * 3
    assert len(limited.get("/v1/images").json()["data"]) == 3
    assert limited.post("/v1/images", content=png()).json()["code"] == "too_many_images"
    assert limited.delete(f"/v1/images/{limited.get('/v1/images').json()['data'][0]['id']}").status_code == 204
    assert limited.post("/v1/images", content=png()).status_code == 201


def test_an_image_waits_for_another_one_that_is_being_stored(
    within: Within, begin: UnitOfWork, project: Project, settings: Settings
) -> None:
    limited = within(max_images=1)

    def store(session: Session) -> None:
        make_image(session, project.id)
        quotas.of_images(session, project.id, settings)

    answer = answer_after(begin, store, lambda: limited.post("/v1/images", content=png()))
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_images")


def test_the_bytes_of_stored_images(within: Within, api: TestClient, refused: Refuse) -> None:
    size = api.post("/v1/images", content=png()).json()["size"]
    limited = within(max_image_bytes=2 * size)
    assert limited.post("/v1/images", content=png()).status_code == 201
    detail = refused(409, "image_bytes_used_up", limited.post, "/v1/images", content=png())["detail"]
    assert f"{2 * size} bytes" in detail


def test_webhook_endpoints_are_counted(within: Within, refused: Refuse, stranger: TestClient) -> None:
    limited, payload = within(max_webhook_endpoints=2), {"url": "http://127.0.0.1:9/"}
    for _ in range(2):
        assert limited.post("/v1/webhook-endpoints", json=payload).status_code == 201
    refused(409, "too_many_endpoints", limited.post, "/v1/webhook-endpoints", json=payload)
    assert stranger.post("/v1/webhook-endpoints", json=payload).status_code == 201
