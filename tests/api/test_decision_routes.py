"""`GET /v1/decisions`: the project's own log, newest first, in pages, filtered by a resource."""

from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from ledger import decisions
from ledger.database import UnitOfWork
from ledger.decisions import NewDecision
from ledger.models import Project
from tests.support.api_fixtures import NewKey


def test_a_key_that_reads_lists_the_log_of_its_project(
    app: FastAPI, api: TestClient, stranger: TestClient, begin: UnitOfWork, project: Project, new_key: NewKey
) -> None:
    with begin() as session:
        for number in range(3):
            decisions.record(session, project.id, NewDecision("result", "refused", "worker", [f"job_{number}"], "nsfw"))
    viewer = TestClient(app, headers={"Authorization": f"Bearer {new_key(project, scope='read')}"})
    first = viewer.get("/v1/decisions", params={"limit": 2}).raise_for_status().json()
    second = viewer.get("/v1/decisions", params={"limit": 2, "cursor": first["next_cursor"]}).raise_for_status().json()
    rows: list[dict[str, Any]] = first["data"] + second["data"]
    assert [row["number"] for row in rows] == [3, 2, 1]
    assert (rows[0]["reason"], rows[0]["previous"]) == ("nsfw", rows[1]["hash"])
    assert [row["number"] for row in viewer.get("/v1/decisions?concerning=job_1").json()["data"]] == [2]
    assert stranger.get("/v1/decisions").json()["data"] == []
    assert api.get("/v1/decisions", params={"concerning": "a b"}).json()["code"] == "invalid_request"
    assert api.delete("/v1/decisions").status_code == 405
