"""Consent over HTTP: who needs it, what is refused, and what a revocation does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from skimage.data import astronaut

from tests.support.api_fixtures import Refuse

Upload = Callable[..., str]

ADA = {"person": "Ada", "purpose": "images for her book", "evidence": "folder 7"}
SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat()
LATE = (datetime.now(UTC) - timedelta(days=1)).isoformat()


def request(upload: Upload, **fields: Any) -> dict[str, Any]:
    return {"name": "One", "references": [upload(color) for color in ("red", "green", "blue")], **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"class_noun": "woman"},
        {"class_noun": "woman", "category": "object"},
        {"class_noun": "mujer"},
        {"class_noun": "mujer", "category": "animal"},
        {"class_noun": "student"},
        {"class_noun": "wom\u0430n"},  # with a Cyrillic letter
        {"class_noun": "\uff57oman"},  # with a wide letter
        {"class_noun": "dog", "category": "person"},
    ],
)
def test_who_is_or_may_be_a_person_needs_consent(
    api: TestClient, refused: Refuse, upload: Upload, fields: dict[str, Any]
) -> None:
    payload = request(upload, **fields)
    problem = refused(422, "consent_required", api.post, "/v1/subjects", json=payload)
    assert problem["param"] == "consent"
    made = api.post("/v1/subjects", json=payload | {"consent": ADA}).json()
    assert made["consent"]["state"] == "valid"
    assert made["category"] == "person"


@pytest.mark.parametrize("noun", ["student", "woman", "dog"])
def test_the_statement_that_it_is_no_person(api: TestClient, upload: Upload, noun: str) -> None:
    made = api.post("/v1/subjects", json=request(upload, class_noun=noun, not_a_person=True)).json()
    assert (made["not_a_person"], made["consent"]) == (True, None)
    assert made["category"] != "person"
    decisions = api.get("/v1/decisions").json()["data"]
    assert [(one["kind"], one["reason"]) for one in decisions] == [("consent", "not_a_person")]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"consent": True}, "consent"),
        ({"consent": {"person": "Ada"}}, "consent.purpose"),
        ({"consent": ADA | {"until": LATE}}, "consent.until"),
        ({"consent": ADA | {"until": "2031-01-01T00:00:00"}}, "consent.until"),
        ({"consent": ADA | {"evidense": "x"}}, "consent.evidense"),
        ({"consent": ADA, "not_a_person": True}, "not_a_person"),
        ({"category": "person", "not_a_person": True}, "not_a_person"),
    ],
)
def test_receipts_that_are_refused(
    api: TestClient, refused: Refuse, upload: Upload, fields: dict[str, Any], param: str
) -> None:
    payload = request(upload, class_noun="woman", **fields)
    assert refused(422, "invalid_request", api.post, "/v1/subjects", json=payload)["param"] == param


def test_a_face_in_a_reference_asks_for_consent(api: TestClient, refused: Refuse, upload: Upload) -> None:
    photo = BytesIO()
    Image.fromarray(astronaut()).save(photo, "PNG")
    with_face = api.post("/v1/images", content=photo.getvalue()).json()
    assert with_face["faces"] == 1
    payload = request(upload, class_noun="dog")
    payload["references"].append(with_face["id"])
    problem = refused(422, "consent_required", api.post, "/v1/subjects", json=payload)
    assert "references[3] shows a human face" in problem["detail"]
    payload["references"].pop()
    subject = api.post("/v1/subjects", json=payload).json()["id"]
    added = {"image_id": with_face["id"]}
    refused(422, "consent_required", api.post, f"/v1/subjects/{subject}/references", json=added)
    assert api.post(f"/v1/subjects/{subject}/consent", json=ADA | {"until": SOON}).status_code == 201
    assert api.post(f"/v1/subjects/{subject}/references", json=added).status_code == 201


def test_a_revoked_consent_makes_the_prior_unusable(
    api: TestClient, stranger: TestClient, refused: Refuse, subject: dict[str, Any], prior: str
) -> None:
    path = f"/v1/subjects/{subject['id']}/consent"
    refused(404, "not_found", api.delete, path)  # none was given
    assert api.post(path, json=ADA).json()["consent"]["person"] == "Ada"
    refused(409, "consent_given", api.post, path, json=ADA)
    refused(404, "not_found", stranger.delete, path)
    assert api.get(f"/v1/priors/{prior}").json()["artefacts"]
    training = api.post(f"/v1/subjects/{subject['id']}/priors").json()["id"]
    revoked = api.delete(path).json()["consent"]
    assert (revoked["state"], revoked["ended_at"] is not None) == ("revoked", True)
    job = api.get(f"/v1/jobs/{training}").json()
    assert (job["status"], job["error"]["code"]) == ("canceled", "consent_ended")
    image = subject["references"][0]["image_id"]
    for target in ({"subject_id": subject["id"]}, {"prior_id": prior}):
        edit = {"image_id": image, "prompt": "sks dog jumping", **target}
        refused(409, "consent_ended", api.post, "/v1/edits", json=edit)
    refused(409, "consent_ended", api.post, f"/v1/subjects/{subject['id']}/priors")
    refused(409, "job_not_retryable", api.post, f"/v1/jobs/{training}/retry")
    assert api.get(f"/v1/priors/{prior}").json()["artefacts"] == []
    assert api.post(path, json=ADA).status_code == 201
    assert api.post(f"/v1/subjects/{subject['id']}/priors").status_code == 202
