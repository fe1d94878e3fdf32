"""Other people in the image of an edit: a warning by default, and a statement where the operator requires one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from skimage.data import astronaut

from ledger.database import UnitOfWork
from ledger.models import Image as ImageRow
from ledger.models import Subject
from lipe_client import Job
from tests.support.api_fixtures import Refuse

STATEMENT = {"other_people": "consented"}


@pytest.fixture
def photo(api: TestClient) -> Callable[[int], str]:
    """`photo(2)`: the id of an image with so many faces."""

    def upload(faces: int) -> str:
        content = BytesIO()
        Image.fromarray(np.concatenate([astronaut()] * faces, axis=1)).save(content, "PNG")
        image = api.post("/v1/images", content=content.getvalue()).raise_for_status().json()
        assert image["faces"] == faces
        return str(image["id"])

    return upload


@pytest.fixture
def edit(subject: dict[str, Any], photo: Callable[[int], str]) -> dict[str, Any]:
    """An edit of a dog, beside which a person is shown."""
    return {
        "subject_id": subject["id"], "image_id": photo(1), "prompt": "a photo of sks dog jumping", "use_prior": False,
    }  # fmt: skip


@pytest.fixture
def requiring(app: FastAPI) -> Iterator[None]:
    """The operator requires a statement."""
    service = app.state.service
    settings = service.settings.model_copy(update={"other_people": "consent"})
    app.state.service = replace(service, settings=settings)
    yield
    app.state.service = service


def test_a_face_beside_a_dog_is_a_warning_and_a_statement_is_logged(api: TestClient, edit: dict[str, Any]) -> None:
    job = api.post("/v1/edits", json=edit).raise_for_status().json()
    (warning,) = job["warnings"]
    assert warning["code"] == "other_people"
    assert warning["message"].startswith("the image shows a human face, and the subject has none; set `other_people`")
    assert [one.code for one in Job(**job).warnings] == ["other_people"]
    assert api.get(f"/v1/edits/{job['edit_id']}").json()["warnings"] == [warning]
    assert api.get(job["urls"]["self"]).json()["status"] == "queued"

    stated = api.post("/v1/edits", json=edit | STATEMENT).raise_for_status().json()
    assert stated["warnings"] == []
    (logged,) = api.get("/v1/decisions", params={"concerning": stated["edit_id"]}).json()["data"]
    assert (logged["kind"], logged["outcome"], logged["reason"]) == ("consent", "given", "other_people")
    assert logged["actor"].startswith("key:")


def test_a_retry_keeps_the_warning_or_the_statement(api: TestClient, edit: dict[str, Any]) -> None:
    for given, codes in (({}, ["other_people"]), (STATEMENT, [])):
        job = api.post("/v1/edits", json=edit | given).raise_for_status().json()
        api.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
        retried = api.post(f"/v1/jobs/{job['id']}/retry").raise_for_status().json()
        assert (retried["edit_id"], [one["code"] for one in retried["warnings"]]) == (job["edit_id"], codes)
        logged = api.get("/v1/decisions", params={"concerning": retried["edit_id"]}).json()["data"]
        assert len(logged) == (1 if given else 0)


@pytest.mark.usefixtures("requiring")
def test_an_operator_may_require_the_statement(api: TestClient, refused: Refuse, edit: dict[str, Any]) -> None:
    for path in ("/v1/edits", "/v1/edits/dry-run"):
        problem = refused(422, "consent_required", api.post, path, json=edit)
        assert (problem["param"], "set `other_people` to" in problem["detail"]) == ("other_people", True)
    assert api.get("/v1/edits").json()["data"] == []
    assert api.post("/v1/edits/dry-run", json=edit | STATEMENT).status_code == 200
    assert api.get("/v1/decisions").json()["data"] == []
    assert api.post("/v1/edits", json=edit | STATEMENT).status_code == 202


@pytest.mark.usefixtures("requiring")
def test_the_subjects_own_faces_are_no_others(
    api: TestClient, refused: Refuse, begin: UnitOfWork, subject: dict[str, Any], edit: dict[str, Any],
    photo: Callable[[int], str], upload: Callable[..., str],
) -> None:  # fmt: skip
    with begin() as session:  # a statue: the request that created it had stated that it is no person
        session.get_one(Subject, subject["id"]).not_a_person = True
        session.get_one(ImageRow, subject["references"][0]["image_id"]).faces = 1
    assert api.post("/v1/edits", json=edit).status_code == 202
    two = edit | {"image_id": photo(2)}
    assert (
        "2 human faces, and the subject has one"
        in refused(422, "consent_required", api.post, "/v1/edits", json=two)["detail"]
    )
    with begin() as session:
        session.get_one(Subject, subject["id"]).category = "person"
        session.get_one(ImageRow, subject["references"][0]["image_id"]).faces = 2
    assert api.post("/v1/edits", json=edit).status_code == 202
    refused(422, "consent_required", api.post, "/v1/edits", json=two)
    assert api.post("/v1/edits", json=edit | {"image_id": upload("white")}).status_code == 202
