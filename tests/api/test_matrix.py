"""Generated from the contract: no path shows another project's things, and none is without its lock."""

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
from ledger.tables import METADATA

OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
"""All that anybody may read, by name: how the service is, and what it is."""


@pytest.fixture
def things(api: TestClient, subject: dict[str, Any], prior: str, upload: Callable[..., str]) -> dict[str, str]:
    """One thing of `project` for each parameter that a path of the contract has."""
    asked = {"prior_id": prior, "image_id": upload("white"), "prompt": "a photo of sks dog jumping"}
    endpoint = api.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/"}).json()["id"]
    job = api.post("/v1/edits", json=asked).json()
    assert api.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202
    (delivery,) = api.get("/v1/webhook-deliveries").json()["data"]
    return {
        "image_id": upload("black"),
        "subject_id": subject["id"],
        "prior_id": prior,
        "edit_id": job["edit_id"],
        "job_id": job["id"],
        "endpoint_id": endpoint,
        "delivery_id": delivery["id"],
    }


def operations(app: FastAPI) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation."""
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def rows(begin: UnitOfWork) -> dict[str, list[Any]]:
    """All that is in the database."""
    with begin() as session:
        return {name: sorted(map(repr, session.execute(table.select()))) for name, table in METADATA.tables.items()}


def test_a_foreign_id_is_no_id(
    app: FastAPI, api: TestClient, stranger: TestClient, things: dict[str, str], begin: UnitOfWork
) -> None:
    before, seen = rows(begin), 0
    for method, path, operation in operations(app):
        names = re.findall(r"\{(\w+)\}", path)
        if not names:
            continue
        foreign = path.format(**things)
        made_up = path.format(**{name: re.sub(r"_\w+", "_0123456789abcdef", things[name]) for name in names})
        asked = examples.REQUESTS.get(operation["operationId"])
        body = asked and {key: value for key, value in asked.items() if key != "webhook_url"}  # no name server here
        answers = [stranger.request(method, url, json=body) for url in (foreign, made_up)]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, foreign)
        # Whether it exists elsewhere cannot be told from the answer, either.
        told = [re.sub(r"\w+_[0-9a-f]{16,}", "", answer.json()["detail"]) for answer in answers]
        assert told[0] == told[1]
        seen += 1
    assert rows(begin) == before
    assert seen >= 16
    for method, path, _ in operations(app):  # and its owner has it
        if method == "GET" and path.endswith("}"):
            assert api.get(path.format(**things)).status_code == 200


def test_a_foreign_id_in_a_filter_or_a_body_is_no_id(
    app: FastAPI, stranger: TestClient, things: dict[str, str]
) -> None:
    filtered = 0
    for method, path, operation in operations(app):
        for entry in operation.get("parameters", ()):
            if entry["in"] == "query" and entry["name"] in things and not re.search(r"\{", path):
                answer = stranger.request(method, path, params={entry["name"]: things[entry["name"]]})
                assert (answer.status_code, answer.json()["data"]) == (200, []), path
                filtered += 1
    assert filtered == 2
    mine = {"subject_id": things["subject_id"], "image_id": things["image_id"], "prompt": "a photo of sks dog"}
    assert stranger.post("/v1/edits", json=mine).status_code == 404
    references = {"name": "Rex", "class_noun": "dog", "references": [things["image_id"], "img_1", "img_2"]}
    assert stranger.post("/v1/subjects", json=references).json()["param"] == "references[0]"


def test_every_list_of_a_stranger_is_empty(app: FastAPI, stranger: TestClient, things: dict[str, str]) -> None:
    lists = [path for _, path, one in operations(app) if one["operationId"].startswith("list_") and "{" not in path]
    assert len(lists) == 6
    for path in lists:
        assert stranger.get(path).json() == {"data": [], "has_more": False, "next_cursor": None}


def test_every_route_has_its_lock(app: FastAPI) -> None:
    """Of the routes themselves, not of the document: one that is hidden from it counts, too."""
    locks = {
        route.path: isinstance(route.original_route, APIRoute)
        and bearer_scheme.dependency in [dependency.dependency for dependency in route.dependencies]
        for route in iter_route_contexts(app.routes)
    }
    assert {path for path, locked in locks.items() if not locked} == OPEN
    assert all(path.startswith(f"{API_PREFIX}/") for path, locked in locks.items() if locked)  # behind the gate
    assert len(locks) > 20
