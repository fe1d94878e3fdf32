"""The same key and body have one effect only."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi.testclient import TestClient

from tests.support.uploads import png


def test_twenty_simultaneous_requests_create_one_job(api: TestClient, subject: dict[str, Any]) -> None:
    path, key = f"/v1/subjects/{subject['id']}/priors", {"Idempotency-Key": "one"}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: api.post(path, headers=key), range(20)))
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert accepted
    assert len({answer.json()["id"] for answer in accepted}) == 1
    assert {answer.json()["code"] for answer in answers if answer not in accepted} <= {"idempotency_key_in_flight"}
    assert len(api.get("/v1/jobs").json()["data"]) == 1
    again = api.post(path, headers=key)
    assert (again.status_code, again.json(), again.headers["location"]) == (
        202,
        accepted[0].json(),
        accepted[0].headers["location"],
    )


def test_another_body_needs_another_key(api: TestClient, subject: dict[str, Any], stranger: TestClient) -> None:
    path, key = f"/v1/subjects/{subject['id']}/priors", {"Idempotency-Key": "one"}
    api.post(path, headers=key).raise_for_status()
    other = api.post(path, headers=key, json={"metadata": {"a": "b"}})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = api.post("/v1/webhook-endpoints", headers=key, json={"url": "http://127.0.0.1/"})
    assert elsewhere.json()["code"] == "idempotency_key_reused"
    assert stranger.post("/v1/webhook-endpoints", headers=key, json={"url": "http://127.0.0.1/"}).status_code == 201


def test_a_refused_request_does_not_use_the_key(api: TestClient, upload: Callable[..., str]) -> None:
    payload = {"name": "Rex", "class_noun": "dog", "references": [upload("red"), upload("green"), "img_unknown"]}
    key = {"Idempotency-Key": "one"}
    assert api.post("/v1/subjects", json=payload, headers=key).status_code == 404
    payload["references"] = [*payload["references"][:2], upload("blue")]
    assert api.post("/v1/subjects", json=payload, headers=key).status_code == 201


def test_the_same_image_in_another_form_is_the_same_request(api: TestClient) -> None:
    key = {"Idempotency-Key": "one"}
    sent = [
        api.post("/v1/images", files={"file": png()}, headers=key),
        api.post("/v1/images", files={"file": png()}, headers=key),  # under another boundary
        api.post("/v1/images", content=png(), headers=key),
    ]
    assert len({answer.json()["id"] for answer in sent}) == 1
    assert len(api.get("/v1/images").json()["data"]) == 1
    assert api.post("/v1/images", content=png("blue"), headers=key).json()["code"] == "idempotency_key_reused"


def test_an_invalid_key_is_refused(api: TestClient) -> None:
    for key in ("", "a b", "x" * 256):
        answer = api.post("/v1/images", content=png(), headers={"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["param"]) == (422, "idempotency-key")
