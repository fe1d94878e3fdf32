"""Warnings of a running job are in the answers of the job, its prior or its edit, and in the stream of events."""

import json
from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from ledger import attempts
from ledger.database import UnitOfWork
from ledger.job_warnings import JobWarning
from lipe_client import Edit, EditSummary, Job, Prior, PriorSummary, Progress

UNLIKE = JobWarning("unlike_the_base_model", "2 of 3 images are unlike")
BODY = [{"code": UNLIKE.code, "message": UNLIKE.message}]


def test_a_running_training_and_its_prior_have_a_warning(
    api: TestClient, subject: dict[str, Any], begin: UnitOfWork
) -> None:
    job = api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status().json()
    assert job["warnings"] == []
    path, etag = f"/v1/jobs/{job['id']}", api.get(f"/v1/jobs/{job['id']}").headers["etag"]
    warn(begin, job["id"], end=False)
    running = api.get(path, headers={"If-None-Match": etag})
    assert (running.status_code, running.json()["status"], running.json()["warnings"]) == (200, "running", BODY)
    prior = api.get(f"/v1/priors/{job['prior_id']}").json()
    assert prior["warnings"] == BODY
    assert [one.code for one in (*Job(**running.json()).warnings, *Prior(**prior).warnings)] == [UNLIKE.code] * 2


def test_an_edit_has_the_warning_and_the_stream_an_event(
    api: TestClient, subject: dict[str, Any], prior: str, upload: Callable[..., str], begin: UnitOfWork
) -> None:
    edit = {"subject_id": subject["id"], "image_id": upload("white"), "prompt": "a photo of sks dog jumping"}
    job = api.post("/v1/edits", json=edit).raise_for_status().json()
    warn(begin, job["id"], end=True)
    stored = api.get(f"/v1/edits/{job['edit_id']}").json()
    assert stored["warnings"] == BODY
    assert Edit(**stored).warnings[0].message == UNLIKE.message
    stream = api.get(f"/v1/jobs/{job['id']}/events").text
    events = [Progress(**json.loads(line[5:])) for line in stream.splitlines() if line.startswith("data:")]
    assert [event.type for event in events] == ["edit.queued", "edit.running", "edit.warning", "edit.failed"]
    assert [[one.code for one in event.warnings] for event in events] == [[], [], [UNLIKE.code], []]


def test_lists_have_the_warnings_of_the_newest_jobs_by_the_same_number_of_queries(
    api: TestClient, subject: dict[str, Any], upload: Callable[..., str], begin: UnitOfWork
) -> None:
    path, image = f"/v1/subjects/{subject['id']}/priors", upload("white")
    trainings = [api.post(path).raise_for_status().json() for _ in range(3)]
    edit = {"subject_id": subject["id"], "image_id": image, "prompt": "a photo of sks dog jumping", "use_prior": False}
    edits = [api.post("/v1/edits", json=edit).raise_for_status().json() for _ in range(3)]
    for job in (*trainings[:2], *edits[:2]):
        warn(begin, job["id"], end=True)
    for job in (trainings[1], edits[1]):  # their newest jobs have no warning yet
        api.post(job["urls"]["retry"]).raise_for_status()
    for listed, model in ((path, PriorSummary), ("/v1/edits", EditSummary)):
        rows, queries = read(api, listed, limit=3)
        assert [row["warnings"] for row in rows] == [[], [], BODY]
        assert [one.code for one in model(**rows[-1]).warnings] == [UNLIKE.code]
        assert read(api, listed, limit=1)[1] == queries


def read(api: TestClient, path: str, *, limit: int) -> tuple[list[dict[str, Any]], int]:
    """The entries of a list, and the number of queries that the answer took."""
    statements: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    try:
        rows = api.get(path, params={"limit": limit}).raise_for_status().json()["data"]
    finally:
        event.remove(Engine, "before_cursor_execute", record)
    assert statements
    return rows, len(statements)


def warn(begin: UnitOfWork, job_id: str, *, end: bool) -> None:
    """An attempt at the job with a warning."""
    with begin() as session:
        claim = attempts.claim(session, job_id, "worker-1", lease_seconds=60)
        assert claim
        assert attempts.warn(session, claim, [UNLIKE])
        if end:
            attempts.finish_failed(session, claim, "invalid_request", "no", {})
