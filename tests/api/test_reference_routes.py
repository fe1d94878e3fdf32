"""Changes of a subject: its fields, and references that are added and removed."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.api_fixtures import Refuse

Upload = Callable[..., str]
Work = Callable[..., None]


def references_of(api: TestClient, subject: dict[str, Any]) -> dict[str, str | None]:
    """The captions of the subject's references by image id, in their order."""
    rows = api.get(f"/v1/subjects/{subject['id']}").json()["references"]
    return {row["image_id"]: row["caption"] for row in rows}


def test_given_fields_are_changed_and_the_others_stay(api: TestClient, subject: dict[str, Any]) -> None:
    path = f"/v1/subjects/{subject['id']}"
    first, second, third = references_of(api, subject)
    api.patch(path, json={"metadata": {"owner": "me", "order": "7"}}).raise_for_status()
    api.patch(path, json={"captions": {first: "sks dog on a sofa", second: "sks dog"}}).raise_for_status()
    change = {"name": "Rex II", "metadata": {"order": None, "absent": None, "app": ""}, "captions": {second: None}}
    changed = api.patch(path, json=change).json()
    expected = subject | {"name": "Rex II", "metadata": {"owner": "me", "app": ""}}
    assert changed | {"references": None} == expected | {"references": None}
    assert references_of(api, subject) == {first: "sks dog on a sofa", second: None, third: None}
    assert api.get(path).json() == api.patch(path, json={}).json() == changed


@pytest.mark.parametrize(
    ("change", "status", "param", "detail"),
    [
        ({"class_noun": "cat"}, 422, "class_noun", "priors were trained with it"),
        ({"token": "xyz"}, 422, "token", "priors were trained with it"),
        ({"category": "object"}, 422, "category", "create another subject"),
        ({"consent": None}, 422, "consent", "POST to or DELETE"),
        ({"references": []}, 422, "references", "/references"),
        ({"nam": "Rex"}, 422, "nam", "`name`"),
        ({"name": " "}, 422, "name", "at least 1"),
        ({"metadata": {str(number): "" for number in range(17)}}, 422, "metadata", "the value null"),
        ({"metadata": {"key": 7}}, 422, "metadata.key", "string"),
        ({"captions": {"img_unknown": "sks dog"}}, 404, "captions.img_unknown", "no reference of this subject"),
        ({"captions": {"img_unknown": "x" * 501}}, 422, "captions.img_unknown", "500"),
    ],
)
def test_invalid_changes(
    api: TestClient, refused: Refuse, subject: dict[str, Any], change: Any, status: int, param: str, detail: str
) -> None:
    code = "not_found" if status == 404 else "invalid_request"
    body = refused(status, code, api.patch, f"/v1/subjects/{subject['id']}", json=change)
    assert body["param"] == param
    assert detail in body["detail"]


def test_metadata_are_counted_after_the_merge(api: TestClient, refused: Refuse, subject: dict[str, Any]) -> None:
    path = f"/v1/subjects/{subject['id']}"
    api.patch(path, json={"metadata": {str(number): "" for number in range(16)}}).raise_for_status()
    refused(422, "invalid_request", api.patch, path, json={"metadata": {"one more": ""}})
    assert api.patch(path, json={"metadata": {"one more": "", "3": None}}).status_code == 200


def test_references_are_added_and_removed(api: TestClient, subject: dict[str, Any], upload: Upload, work: Work) -> None:
    path, (first, second, third) = f"/v1/subjects/{subject['id']}/references", references_of(api, subject)
    before = api.post(f"/v1/subjects/{subject['id']}/priors").json()
    work(before["id"])
    added, key = upload("white"), {"Idempotency-Key": "one"}
    answers = [api.post(path, json={"image_id": added, "caption": "sks dog"}, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json() == api.get(f"/v1/subjects/{subject['id']}").json()
    assert references_of(api, subject) == {first: None, second: None, third: None, added: "sks dog"}
    assert api.delete(f"{path}/{first}").status_code == 204
    assert list(references_of(api, subject)) == [second, third, added]
    assert api.get(f"/v1/images/{first}").status_code == 200
    assert api.post(path, json={"image_id": first}).status_code == 201
    assert list(references_of(api, subject)) == [second, third, added, first]


def test_invalid_references(api: TestClient, refused: Refuse, subject: dict[str, Any], upload: Upload) -> None:
    path, (first, *_) = f"/v1/subjects/{subject['id']}/references", references_of(api, subject)
    body = refused(422, "invalid_request", api.post, path, json={"image_id": first})
    assert (body["param"], body["detail"]) == ("image_id", "the image is a reference already: give another image")
    assert refused(404, "not_found", api.post, path, json={"image_id": "img_unknown"})["param"] == "image_id"
    refused(404, "not_found", api.post, "/v1/subjects/sub_unknown/references", json={"image_id": first})
    refused(404, "not_found", api.delete, f"{path}/{upload('white')}")
    assert "add another one first" in refused(422, "reference_count", api.delete, f"{path}/{first}")["detail"]


def test_a_subject_has_at_most_twenty_references(api: TestClient, refused: Refuse, upload: Upload) -> None:
    references = [upload("red", (96 + place, 96)) for place in range(21)]
    payload = {"name": "Rex", "class_noun": "dog"}
    body = refused(422, "reference_count", api.post, "/v1/subjects", json=payload | {"references": references})
    assert body["detail"] == "give 3 to 20 image ids, got 21"
    subject = api.post("/v1/subjects", json=payload | {"references": references[:20]}).raise_for_status().json()
    path = f"/v1/subjects/{subject['id']}/references"
    assert refused(422, "reference_count", api.post, path, json={"image_id": references[20]})["param"] == "image_id"
    assert api.delete(f"{path}/{references[7]}").status_code == 204
    assert api.post(path, json={"image_id": references[20]}).status_code == 201
