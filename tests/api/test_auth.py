"""Default-deny: the middleware checks every path under /v1, also paths without a route."""

import re
import time
from datetime import UTC, datetime

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.auth import READ_METHODS, needs_key, required_scope
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
        if needs_key(path)
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
            schemes = {name for one in operation.get("security", ()) for name in one}
            assert ("HTTPBearer" in schemes) == needs_key(path)


def test_only_the_paths_of_raters_need_no_key(app: FastAPI) -> None:
    """Their routes check the token of the study's link, or the signature of an image."""
    open_paths = {path for path in app.openapi()["paths"] if path.startswith("/v1/") and not needs_key(path)}
    assert open_paths == {"/v1/ratings", "/v1/ratings/next", "/v1/ratings/images/{image_id}"}
    for path in ("/v1/ratings/", "/v1/ratings/next/", "/v1/ratings/other", "/v1/ratings/images/x/y", "/v1/ratingss"):
        assert needs_key(path)
        assert TestClient(app).get(path).status_code == 401


ADMIN_OPERATIONS = {
    ("POST", "/v1/keys"), ("GET", "/v1/keys"), ("DELETE", "/v1/keys/x_1"),
    ("POST", "/v1/webhook-endpoints"), ("PATCH", "/v1/webhook-endpoints/x_1"),
    ("DELETE", "/v1/webhook-endpoints/x_1"), ("GET", "/v1/webhook-endpoints/x_1/secret"), ("GET", "/v1/webhook-secret"),
    ("POST", "/v1/webhook-endpoints/x_1/secret/rotate"), ("POST", "/v1/webhook-secret/rotate"),
}  # fmt: skip
OPERATOR_OPERATIONS = {("GET", "/v1/workers")}
"""Of the others, those that change something need `write`."""


@pytest.mark.parametrize("scope", keys.SCOPES)
def test_every_route_needs_its_scope(
    app: FastAPI, api: TestClient, project: Project, new_key: NewKey, scope: keys.Scope
) -> None:
    client = TestClient(app, headers={"Authorization": f"Bearer {new_key(project, scope=scope)}"})
    operations = _operations(app)
    assert set(operations) > ADMIN_OPERATIONS | OPERATOR_OPERATIONS
    for method, path in [*operations, ("GET", "/v1/nothing"), ("POST", "/v1/later"), ("PUT", "/v1/keys/later")]:
        needed = "read" if method in READ_METHODS or path == "/v1/verify" else "write"
        if (method, path) in ADMIN_OPERATIONS or path == "/v1/keys/later":
            needed = "admin"
        if (method, path) in OPERATOR_OPERATIONS:
            needed = "operator"
        answer = client.request(method, path)
        if keys.SCOPES.index(needed) <= keys.SCOPES.index(scope):
            assert answer.status_code not in {401, 403}, (method, path)
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), (method, path)
            assert f"needs a key with the scope `{needed}`" in answer.json()["detail"]
            assert f'error="insufficient_scope", scope="{needed}"' in answer.headers["www-authenticate"]


def test_every_route_documents_its_scope(app: FastAPI) -> None:
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if needs_key(path):
                scope = required_scope(method.upper(), path)
                assert operation["security"] == [{"HTTPBearer": [scope]}]
                assert operation["description"].endswith(f"Needs a key with the scope `{scope}`.")


def test_the_refusal_of_a_key_gives_the_reason(
    app: FastAPI, api: TestClient, begin: UnitOfWork, project: Project, new_key: NewKey
) -> None:
    expired = new_key(project, expires_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
    revoked = new_key(project)
    with begin() as session:
        assert keys.revoke(session, project.id, revoked.split("_")[1])
    wrong = "lipe_0123456789abcdef_" + "0" * 72
    for key, reason in (
        (expired, "the API key has expired (at 2026-01-31 12:00 UTC): use another"),
        (revoked, "the API key is revoked: use another"),
        (wrong, "the API key is wrong: use another"),
    ):
        answer = TestClient(app).get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (401, "unauthenticated", reason)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


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
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert TestClient(app).get(path).status_code == 200
