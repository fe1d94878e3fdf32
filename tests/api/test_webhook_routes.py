"""Webhook endpoints and deliveries."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook

from api.app import make_app
from ledger.settings import Settings

HOOK = "http://127.0.0.1:9/hook"


def test_an_endpoint_is_created_changed_and_deleted(api: TestClient) -> None:
    made = api.post("/v1/webhook-endpoints", json={"url": HOOK, "events": ["edit.succeeded"]})
    assert made.status_code == 201
    path = made.headers["location"]
    (secret,) = made.json()["secrets"]
    Webhook(secret)  # the library of the standard accepts it
    assert "secrets" not in api.get(path).json()
    assert api.get(f"{path}/secret").json() == {"secrets": [secret], "former_expires_at": None}
    assert api.get("/v1/webhook-secret").json()["secrets"][0].startswith("whsec_")
    changed = api.patch(path, json={"events": [], "disabled": True}).json()
    assert changed["events"] == []
    assert changed["disabled_at"]
    assert api.patch(path, json={"disabled": False}).json()["disabled_at"] is None
    assert [row["url"] for row in api.get("/v1/webhook-endpoints").json()["data"]] == [HOOK]
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_event_types_come_from_a_closed_list(api: TestClient) -> None:
    answer = api.post("/v1/webhook-endpoints", json={"url": HOOK, "events": ["edit.generated"]})
    assert (answer.status_code, answer.json()["param"]) == (422, "events[0]")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://0/",
        "ftp://93.184.216.34/",
        "http://host.invalid/",
        "javascript:alert(1)",
        "not a url",
        "http://[",
        "http://127.0.0.1:99999/",
        "http://user:word@93.184.216.34/",
        "http://\u2603.example/",
    ],
)
def test_private_and_unreachable_urls_are_refused(
    api: TestClient, settings: Settings, subject: dict[str, Any], url: str
) -> None:
    public = make_app(settings.model_copy(update={"allow_private_urls": False}))
    with TestClient(public, headers=dict(api.headers)) as client:
        for path, payload, param in (
            ("/v1/webhook-endpoints", {"url": url}, "url"),
            (f"/v1/subjects/{subject['id']}/priors", {"webhook_url": url}, "webhook_url"),
        ):
            answer = client.post(path, json=payload)
            assert (answer.status_code, answer.json()["code"]) == (422, "webhook_url_forbidden"), answer.text
            assert answer.json()["param"] == param
        assert client.get("/v1/jobs").json()["data"] == []
        assert client.get("/v1/webhook-endpoints").json()["data"] == []


def test_a_public_address_is_accepted(api: TestClient, settings: Settings) -> None:
    public = make_app(settings.model_copy(update={"allow_private_urls": False}))
    with TestClient(public, headers=dict(api.headers)) as client:
        assert client.post("/v1/webhook-endpoints", json={"url": "http://93.184.216.34/"}).status_code == 201


def test_a_url_is_stored_in_ascii(api: TestClient, subject: dict[str, Any]) -> None:
    url, stored = "http://127.0.0.1:9/m\u00fcnchen?\u00e4", "http://127.0.0.1:9/m%C3%BCnchen?%C3%A4"
    assert api.post("/v1/webhook-endpoints", json={"url": url}).json()["url"] == stored
    made = api.post(f"/v1/subjects/{subject['id']}/priors", json={"webhook_url": url}).json()
    assert made["webhook_url"] == stored


def test_deliveries_are_listed_and_sent_again(
    api: TestClient, subject: dict[str, Any], work: Callable[..., None]
) -> None:
    endpoint = api.post("/v1/webhook-endpoints", json={"url": HOOK}).json()["id"]
    payload = {"webhook_url": "http://127.0.0.1:9/own", "metadata": {"order": "7"}}
    job = api.post(f"/v1/subjects/{subject['id']}/priors", json=payload).json()["id"]
    work(job)
    found = api.get("/v1/webhook-deliveries", params={"job_id": job, "state": "pending"}).json()["data"]
    assert {row["url"] for row in found} == {HOOK, "http://127.0.0.1:9/own"}
    (mine,) = api.get("/v1/webhook-deliveries", params={"endpoint_id": endpoint}).json()["data"]
    assert mine["body"]["type"] == mine["event_type"] == "prior.succeeded"
    assert mine["body"]["data"]["metadata"] == {"order": "7"}
    again = api.post(f"/v1/webhook-deliveries/{mine['id']}/redeliver")
    assert (again.status_code, again.json()["state"], again.json()["message_id"]) == (
        202,
        "pending",
        mine["message_id"],
    )
    assert api.get("/v1/webhook-deliveries", params={"state": "delivered"}).json()["data"] == []
