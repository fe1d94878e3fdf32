"""Keys over REST: created by an `admin` key, shown once, listed without secrets, revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.quota import PROBLEMS
from ledger import keys
from ledger.database import UnitOfWork
from ledger.models import ApiKey, Project
from tests.support.api_fixtures import NewKey, Refuse

NEXT_YEAR = (datetime.now(UTC) + timedelta(days=365)).replace(microsecond=0)


def client(app: FastAPI, key: str) -> TestClient:
    return TestClient(app, headers={"Authorization": f"Bearer {key}"})


def test_a_new_key_works_is_shown_once_and_can_be_revoked(app: FastAPI, api: TestClient) -> None:
    answer = api.post("/v1/keys", json={"name": "viewer", "scope": "read", "expires_at": NEXT_YEAR.isoformat()})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    created = answer.json()
    viewer = client(app, created["api_key"])
    assert created["id"] == created["api_key"].split("_")[1]
    assert viewer.get("/v1/jobs").status_code == 200
    assert viewer.post("/v1/keys", json={"name": "another"}).json()["code"] == "insufficient_scope"

    listed = api.get("/v1/keys").json()["data"]
    assert [row["scope"] for row in listed] == ["read", "operator"]
    assert listed[0] == {name: value for name, value in created.items() if name != "api_key"} | {
        "last_used_at": listed[0]["last_used_at"]
    }
    assert created["last_used_at"] is None
    assert datetime.fromisoformat(listed[0]["last_used_at"]) > datetime.fromisoformat(created["created_at"])
    assert datetime.fromisoformat(created["expires_at"]) == NEXT_YEAR

    assert api.delete(f"/v1/keys/{created['id']}").status_code == 204
    assert api.delete(f"/v1/keys/{created['id']}").json()["code"] == "not_found"
    assert api.get("/v1/keys").json()["data"][0]["revoked_at"]


def test_every_key_sees_itself_and_its_project(
    app: FastAPI, api: TestClient, project: Project, new_key: NewKey, begin: UnitOfWork
) -> None:
    viewer = client(app, new_key(project, scope="read", expires_at=NEXT_YEAR))
    mine = viewer.get("/v1/key").json()
    assert (mine["scope"], mine["scopes"]) == ("read", ["read"])
    assert mine["project"] == {"id": project.id, "name": project.name}
    assert datetime.fromisoformat(mine["expires_at"]) == NEXT_YEAR
    assert mine["id"] == viewer.headers["authorization"].split("_")[1]
    assert not {"digest", "api_key"} & mine.keys()
    admin = api.get("/v1/key").json()
    assert (admin["scopes"], admin["expires_at"]) == (["read", "write", "admin", "operator"], None)


def test_usage_counts_the_active_jobs_and_what_is_left(
    api: TestClient, subject: dict[str, Any], stranger: TestClient
) -> None:
    before = {row["name"]: row for row in api.get("/v1/usage").json()["quotas"]}
    api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status()
    usage = api.get("/v1/usage").json()
    after = {row["name"]: row for row in usage["quotas"]}
    assert (usage["queued_jobs"], usage["running_jobs"]) == (1, 0)
    assert after["queued-jobs"]["remaining"] == before["queued-jobs"]["remaining"] - 1
    assert after["subjects"]["remaining"] == after["subjects"]["quota"] - 1
    assert 0 < after["gpu-seconds"]["reset_seconds"] <= 86_400
    assert set(after) == set(PROBLEMS)  # each quota that refuses is shown
    others = stranger.get("/v1/usage").json()
    assert others["queued_jobs"] == 0
    assert all(row["remaining"] == row["quota"] for row in others["quotas"])


def test_a_key_is_not_stored_with_the_answer(api: TestClient, begin: UnitOfWork) -> None:
    """A stored answer, as idempotent requests have, would keep the secret."""
    for _ in range(2):
        api.post("/v1/keys", json={"name": "twice"}, headers={"Idempotency-Key": "a"}).raise_for_status()
    assert len(api.get("/v1/keys").json()["data"]) == 3


def test_a_key_that_expires_creates_none_that_lives_longer(
    app: FastAPI, api: TestClient, project: Project, new_key: NewKey
) -> None:
    guest = client(app, new_key(project, expires_at=NEXT_YEAR))
    for expires_at in (None, (NEXT_YEAR + timedelta(seconds=1)).isoformat()):
        answer = guest.post("/v1/keys", json={"name": "for ever", "expires_at": expires_at})
        assert (answer.status_code, answer.json()["param"]) == (422, "expires_at")
        assert "when your own key expires" in answer.json()["detail"]
    assert guest.post("/v1/keys", json={"name": "guest", "expires_at": NEXT_YEAR.isoformat()}).status_code == 201


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"scope": "all"}, "scope"),
        ({"scope": "operator"}, "scope"),
        ({"scopes": ["read"]}, "scopes"),
        ({"expires_at": "2026-01-31T12:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"name": ""}, "name"),
    ],
)
def test_a_wrong_request_creates_no_key(api: TestClient, refused: Refuse, wrong: dict[str, str], param: str) -> None:
    assert refused(422, "invalid_request", api.post, "/v1/keys", json={"name": "mine", **wrong})["param"] == param


def test_only_the_first_use_of_a_minute_is_recorded(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        row, token = keys.create(session, "a pepper for tests", project.id, "mine", scope="read")
        identifier = row.id
    moments = []
    for _ in range(2):
        with begin() as session:
            assert keys.authenticate(session, "a pepper for tests", token)
        with begin() as session:
            moments.append(session.get_one(ApiKey, identifier).last_used_at)
    assert moments[0] is not None
    assert moments[0] == moments[1]
