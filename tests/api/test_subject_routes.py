"""Subjects: invalid requests, and erasure."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ledger.models import Project
from ledger.storage import Storage
from tests.support.api_fixtures import Refuse
from tests.support.uploads import png

Upload = Callable[..., str]


@pytest.mark.parametrize("count", [0, 1, 2, 21])
def test_too_few_and_too_many_references(api: TestClient, refused: Refuse, upload: Upload, count: int) -> None:
    references = [upload("red", (96 + place, 96)) for place in range(count)]
    payload = {"name": "Rex", "class_noun": "dog", "references": references}
    assert refused(422, "reference_count", api.post, "/v1/subjects", json=payload)["param"] == "references"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"class_noun": "woman"}, "consent_required", "consent"),
        ({"category": "person"}, "consent_required", "consent"),
        ({"class_noun": ""}, "invalid_request", "class_noun"),
        ({"name": "  "}, "invalid_request", "name"),
        ({"name": "a\0b"}, "invalid_request", "name"),
        ({"name": "\ud800"}, "invalid_request", "name"),
        ({"token": "two words"}, "invalid_request", "token"),
        ({"token": "dog"}, "invalid_request", "token"),
        ({"captions": ["one"]}, "invalid_request", "captions"),
        ({"metadata": {"k" * 65: "v"}}, "invalid_request", f"metadata.{'k' * 65}.[key]"),
        ({"metadata": {str(k): "v" for k in range(17)}}, "invalid_request", "metadata"),
        ({"color": "brown"}, "invalid_request", "color"),
    ],
)
def test_subjects(
    api: TestClient, refused: Refuse, upload: Upload, change: dict[str, Any], code: str, param: str
) -> None:
    references = [upload(color) for color in ("red", "green", "blue")]
    payload = {"name": "Rex", "class_noun": "dog", "references": references} | change
    content, kind = json.dumps(payload), {"Content-Type": "application/json"}  # httpx cannot encode a lone surrogate
    assert refused(422, code, api.post, "/v1/subjects", content=content, headers=kind)["param"] == param


def test_the_same_reference_twice(api: TestClient, refused: Refuse, upload: Upload) -> None:
    one, two = upload("red"), upload("blue")
    payload = {"name": "Rex", "class_noun": "dog", "references": [one, two, one]}
    refused(422, "invalid_request", api.post, "/v1/subjects", json=payload)


def test_a_reference_of_another_project(api: TestClient, stranger: TestClient, refused: Refuse, upload: Upload) -> None:
    references = [upload("red"), stranger.post("/v1/images", content=png()).json()["id"], upload("blue")]
    payload = {"name": "Rex", "class_noun": "dog", "references": references}
    assert refused(404, "not_found", api.post, "/v1/subjects", json=payload)["param"] == "references[1]"


def test_erasing_a_subject_leaves_nothing(
    api: TestClient, subject: dict[str, Any], prior: str, storage: Storage, project: Project
) -> None:
    assert list(storage.keys(f"projects/{project.id}/"))
    assert api.delete(f"/v1/subjects/{subject['id']}").status_code == 204
    assert list(storage.keys(f"projects/{project.id}/")) == []
    assert api.get(f"/v1/priors/{prior}").status_code == 404
    assert api.get("/v1/images").json()["data"] == []
