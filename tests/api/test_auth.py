"""Default-deny: the middleware checks every path under /v1, also paths without a route."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.auth import READ_METHODS
from ledger import keys
from ledger.database import UnitOfWork
from ledger.models import Project
from tests.support.api_fixtures import NewKey


def _operations(app: FastAPI) -> list[tuple[str, str]]:
    paths = app.openapi()["paths"]
    return [
        (method.upper(), re.sub(r"\{\w+\}", "x_1", path))
        for path, methods in paths.items()
        for method in methods
        if path.startswith("/v1/")
    ]


def test_every_route_needs_a_key(app: FastAPI, api: TestClient) -> None:
    operations = _operations(app)
    assert len(operations) > 25
    anonymous = TestClient(app)
    for method, path in [*operations, ("GET", "/v1"), ("GET", "/v1/nothing"), ("POST", "/v1/later")]:
        answer = anonymous.request(method, path, content=b"{")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_route_is_documented_as_needing_a_key(app: FastAPI) -> None:
    for path, methods in app.openapi()["paths"].items():
        for operation in methods.values():
            assert bool(operation.get("security")) == path.startswith("/v1/")


def test_a_key_with_read_changes_nothing_and_reads_no_secret(
    app: FastAPI, api: TestClient, project: Project, new_key: NewKey
) -> None:
    reader = TestClient(app, headers={"Authorization": f"Bearer {new_key(project, scopes=('read',))}"})
    for method, path in _operations(app):
        if method not in READ_METHODS or path.endswith("secret"):
            answer = reader.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), (method, path)
    assert reader.get("/v1/jobs").status_code == 200


def test_a_key_without_read_does_not_read(app: FastAPI, api: TestClient, project: Project, new_key: NewKey) -> None:
    writer = TestClient(app, headers={"Authorization": f"Bearer {new_key(project, scopes=('write',))}"})
    assert writer.get("/v1/jobs").status_code == 403


def test_expired_and_revoked_keys_are_refused(
    app: FastAPI, api: TestClient, begin: UnitOfWork, project: Project, new_key: NewKey
) -> None:
    expired = new_key(project, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = new_key(project)
    with begin() as session:
        assert keys.revoke(session, project.id, revoked.split("_")[1])
    for key in (expired, revoked):
        assert TestClient(app).get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 401


def test_a_key_in_use_is_refused_within_a_second_of_its_revocation(
    api: TestClient, begin: UnitOfWork, project: Project
) -> None:
    assert api.get("/v1/jobs").status_code == 200
    with begin() as session:
        assert keys.revoke(session, project.id, api.headers["authorization"].split("_")[1])
    time.sleep(1)
    assert api.get("/v1/jobs").status_code == 401


@pytest.mark.parametrize(
    "change", [lambda key: key[:-1], lambda key: key.upper(), lambda key: "lipe_", lambda key: "é"]
)
def test_a_wrong_key_is_refused(app: FastAPI, api: TestClient, project: Project, new_key: NewKey, change) -> None:
    authorization = f"Bearer {change(new_key(project))}".encode()
    answer = TestClient(app).get("/v1/jobs", headers={b"Authorization": authorization})
    assert answer.status_code == 401
    assert "invalid_token" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("scheme", ["Basic", "Token", ""])
def test_another_scheme_is_no_key(
    app: FastAPI, api: TestClient, project: Project, new_key: NewKey, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} {new_key(project)}"}
    assert TestClient(app).get("/v1/jobs", headers=headers).status_code == 401


def test_health_needs_no_key(app: FastAPI, api: TestClient) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert TestClient(app).get(path).status_code == 200
