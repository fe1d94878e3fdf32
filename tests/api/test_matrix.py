"""Tests generated from the contract: no path returns resources of another project, and every path needs a key."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from api import examples
from api.auth import API_PREFIX, bearer_scheme
from ledger.database import UnitOfWork
from ledger.models import METADATA
from tests.support.api_fixtures import Refuse
from tests.support.uploads import png

RATERS = {"/v1/ratings", "/v1/ratings/next", "/v1/ratings/images/{image_id}"}
"""The paths of raters, who have the token of a study's link: tests/api/test_study_routes.py."""
OPEN = RATERS | {"/", "/assets/{name}", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/{name}"}
"""The paths that need no key."""
OTHER_JOBS = {"/v1/captions/{job_id}", "/v1/masks/{job_id}"}
"""They need a job that writes captions or finds a mask, and that of `resources` edits."""


@pytest.fixture
def resources(api: TestClient, subject: dict[str, Any], prior: str, upload: Callable[..., str]) -> dict[str, str]:
    """The id of one resource of `project` for each path parameter of the contract."""
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": "a photo of sks dog jumping"}
    endpoint = api.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/"}).json()["id"]
    job = api.post("/v1/edits", json=payload).json()
    assert api.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202
    (delivery,) = api.get("/v1/webhook-deliveries").json()["data"]
    item = {"results": {"a": upload("red"), "b": upload("green")}}
    return {
        "study_id": api.post("/v1/studies", json={"name": "Dogs", "items": [item]}).json()["id"],
        "image_id": upload("black"),
        "subject_id": subject["id"],
        "prior_id": prior,
        "edit_id": job["edit_id"],
        "job_id": job["id"],
        "endpoint_id": endpoint,
        "delivery_id": delivery["id"],
        "key_id": api.post("/v1/keys", json={"name": "second"}).json()["id"],
    }


def operations(app: FastAPI) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation that needs a key."""
    for path, methods in app.openapi()["paths"].items():
        if path in RATERS:
            continue
        for method, operation in methods.items():
            yield method.upper(), path, operation


def rows(begin: UnitOfWork) -> dict[str, list[Any]]:
    """All rows of the database."""
    with begin() as session:
        return {name: sorted(map(repr, session.execute(table.select()))) for name, table in METADATA.tables.items()}


def test_an_id_of_another_project_is_not_found(
    app: FastAPI, api: TestClient, stranger: TestClient, resources: dict[str, str], begin: UnitOfWork
) -> None:
    stranger.get("/v1/jobs")  # the key's first use is recorded
    before, checked = rows(begin), 0
    for method, path, operation in operations(app):
        names = re.findall(r"\{(\w+)\}", path)
        if not names:
            continue
        foreign = path.format(**resources)
        made_up = path.format(**{name: re.sub(r"[0-9a-f]{16,}", "0123456789abcdef", resources[name]) for name in names})
        payload = examples.REQUESTS.get(operation["operationId"])
        body = payload and {key: value for key, value in payload.items() if key != "webhook_url"}  # no name server here
        answers = [stranger.request(method, url, json=body) for url in (foreign, made_up)]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, foreign)
        # The answer does not reveal whether the resource exists in another project.
        details = [re.sub(r"[0-9a-f]{16,}", "", answer.json()["detail"]) for answer in answers]
        assert details[0] == details[1]
        checked += 1
    assert rows(begin) == before
    assert checked >= 16
    for method, path, _ in operations(app):  # the owner can read it
        if method == "GET" and path.endswith("}") and path not in OTHER_JOBS:
            assert api.get(path.format(**resources)).status_code == 200


def test_an_id_of_another_project_in_a_filter_or_a_body_is_not_found(
    app: FastAPI, stranger: TestClient, resources: dict[str, str]
) -> None:
    filtered = 0
    for method, path, operation in operations(app):
        for entry in operation.get("parameters", ()):
            if entry["in"] == "query" and entry["name"] in resources and not re.search(r"\{", path):
                answer = stranger.request(method, path, params={entry["name"]: resources[entry["name"]]})
                assert (answer.status_code, answer.json()["data"]) == (200, []), path
                filtered += 1
    assert filtered == 2
    mine = {"subject_id": resources["subject_id"], "image_id": resources["image_id"], "prompt": "a photo of sks dog"}
    assert stranger.post("/v1/edits", json=mine).status_code == 404
    references = {"name": "Rex", "class_noun": "dog", "references": [resources["image_id"], "img_1", "img_2"]}
    assert stranger.post("/v1/subjects", json=references).json()["param"] == "references[0]"
    own = [stranger.post("/v1/images", content=png(color)).json()["id"] for color in ("red", "green", "blue")]
    rex = stranger.post("/v1/subjects", json=references | {"references": own}).json()
    added = stranger.post(f"/v1/subjects/{rex['id']}/references", json={"image_id": resources["image_id"]})
    assert (added.status_code, added.json()["param"]) == (404, "image_id")


def test_every_list_of_another_project_is_empty(app: FastAPI, stranger: TestClient, resources: dict[str, str]) -> None:
    lists = [path for _, path, one in operations(app) if one["operationId"].startswith("list_") and "{" not in path]
    assert len(lists) == 11
    assert [row["name"] for row in stranger.get("/v1/keys").json()["data"]] == ["test"]  # its own
    for path in set(lists) - {"/v1/keys"}:
        assert stranger.get(path).json() == {"data": [], "has_more": False, "next_cursor": None}


def test_every_route_needs_a_key(app: FastAPI) -> None:
    """Checks the routes, because the document may hide some of them."""
    protected = {
        str(route.path): isinstance(route.original_route, APIRoute)
        and bearer_scheme.dependency in [dependency.dependency for dependency in route.dependencies]
        for route in iter_route_contexts(app.routes)
    }
    assert {path for path, is_protected in protected.items() if not is_protected} == OPEN
    # The middleware checks the paths with this prefix, except those of raters.
    assert all(path.startswith(f"{API_PREFIX}/") for path, is_protected in protected.items() if is_protected)
    assert len(protected) > 20


def test_resources_of_another_project_are_not_found(
    api: TestClient,
    stranger: TestClient,
    refused: Refuse,
    subject: dict[str, Any],
    prior: str,
    upload: Callable[..., str],
) -> None:
    image = upload("white")
    edit = api.post("/v1/edits", json={"prior_id": prior, "image_id": image, "prompt": "sks dog"}).json()
    endpoint = api.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/"}).json()["id"]
    theirs = stranger.post("/v1/images", content=png()).json()["id"]
    for path in (
        f"/v1/images/{image}",
        f"/v1/subjects/{subject['id']}",
        f"/v1/subjects/{subject['id']}/priors",
        f"/v1/priors/{prior}",
        f"/v1/edits/{edit['edit_id']}",
        f"/v1/jobs/{edit['id']}",
        f"/v1/jobs/{edit['id']}/events",
        f"/v1/webhook-endpoints/{endpoint}",
        f"/v1/webhook-endpoints/{endpoint}/secret",
    ):
        if not path.endswith("/events"):  # the owner's stream would not end before the job
            assert api.get(path).status_code == 200
        refused(404, "not_found", stranger.get, path)
    for path in (
        f"/v1/images/{image}",
        f"/v1/images/{image}?cascade=true",
        f"/v1/subjects/{subject['id']}",
        f"/v1/subjects/{subject['id']}/references/{subject['references'][0]['image_id']}",
        f"/v1/priors/{prior}",
        f"/v1/edits/{edit['edit_id']}",
        f"/v1/webhook-endpoints/{endpoint}",
    ):
        refused(404, "not_found", stranger.delete, path)
    refused(404, "not_found", stranger.patch, f"/v1/subjects/{subject['id']}", json={"name": "Mine"})
    for path in (
        f"/v1/subjects/{subject['id']}/priors",
        f"/v1/jobs/{edit['id']}/cancel",
        f"/v1/jobs/{edit['id']}/retry",
        "/v1/webhook-deliveries/dlv_1/redeliver",
    ):
        refused(404, "not_found", stranger.post, path)
    refused(404, "not_found", stranger.post, f"/v1/priors/{prior}/choose", json={"step": 1})
    for payload, param in (
        ({"subject_id": subject["id"], "image_id": theirs}, "subject_id"),
        ({"prior_id": prior, "image_id": theirs}, "prior_id"),
    ):
        body = refused(404, "not_found", stranger.post, "/v1/edits", json={**payload, "prompt": "sks dog"})
        assert body["param"] == param
    for name in ("images", "subjects", "edits", "jobs", "webhook-endpoints", "webhook-deliveries"):
        assert [row["id"] for row in stranger.get(f"/v1/{name}").json()["data"]] == (
            [theirs] if name == "images" else []
        )
