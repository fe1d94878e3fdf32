"""Rotation of webhook secrets: both sign until the former one expires, and a repeated request rotates once."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update
from standardwebhooks import Webhook, WebhookVerificationError

from ledger.database import UnitOfWork
from ledger.models import Delivery, Project, WebhookEndpoint
from tests.support.api_fixtures import NewKey, Refuse
from tests.support.receiver import Receiver, receiving
from worker.webhooks import deliver


def rotate(api: TestClient, path: str, **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = api.post(f"{path}/rotate", **options).raise_for_status().json()
    return body


def sent(begin: UnitOfWork, receiver: Receiver) -> tuple[bytes, dict[str, str]]:
    """The body and headers of the newest delivery, which is sent now."""
    with begin() as session:
        newest = session.scalars(select(Delivery.id).order_by(Delivery.created_at.desc()).limit(1)).one()
    deliver(begin, newest, allow_private=True)
    headers, body = receiver.seen[-1]
    return body, headers


@pytest.mark.parametrize("of_project", [False, True])
def test_both_secrets_sign_until_the_former_one_expires(
    api: TestClient, begin: UnitOfWork, subject: dict[str, Any], of_project: bool
) -> None:
    with receiving(204) as receiver:
        job = {"webhook_url": receiver.url} if of_project else {}
        endpoint = None if of_project else api.post("/v1/webhook-endpoints", json={"url": receiver.url}).json()
        path = "/v1/webhook-secret" if endpoint is None else f"/v1/webhook-endpoints/{endpoint['id']}/secret"
        (old,) = api.get(path).json()["secrets"]
        rotated = rotate(api, path, json={"keep_hours": 1}, headers={"Idempotency-Key": "a"})
        assert rotate(api, path, json={"keep_hours": 1}, headers={"Idempotency-Key": "a"}) == rotated
        assert rotated["secrets"][1:] == [old]
        assert api.get(path).json() == rotated
        new = rotated["secrets"][0]
        assert api.post(f"{path}/rotate").json()["code"] == "rotation_in_progress"

        training = api.post(f"/v1/subjects/{subject['id']}/priors", json=job).json()
        api.post(f"/v1/jobs/{training['id']}/cancel").raise_for_status()
        body, headers = sent(begin, receiver)
        for secret in (new, old):
            Webhook(secret).verify(body, headers)

        with begin() as session:
            past = func.clock_timestamp() - timedelta(seconds=1)
            session.execute(update(WebhookEndpoint).values(former_expires_at=past))
            session.execute(update(Project).values(former_secret_expires_at=past))
            session.execute(update(Delivery).values(state="pending", next_attempt_at=past))
        assert api.get(path).json() == {"secrets": [new], "former_expires_at": None}
        body, headers = sent(begin, receiver)
        Webhook(new).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(old).verify(body, headers)
        assert rotate(api, path)["secrets"][1:] == [new]


def test_a_known_secret_is_dropped_at_once(api: TestClient) -> None:
    path = "/v1/webhook-secret"
    (old,) = api.get(path).json()["secrets"]
    rotate(api, path)
    answer = rotate(api, path, json={"keep_hours": 0})
    assert (len(answer["secrets"]), old in answer["secrets"], answer["former_expires_at"]) == (1, False, None)


def test_a_rotation_needs_a_key_that_may_and_an_endpoint_of_the_project(
    app: FastAPI, api: TestClient, stranger: TestClient, project: Project, new_key: NewKey, refused: Refuse
) -> None:
    endpoint = api.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/"}).json()
    path = f"/v1/webhook-endpoints/{endpoint['id']}/secret/rotate"
    writer = TestClient(app, headers={"Authorization": f"Bearer {new_key(project, scope='write')}"})
    for one in (path, "/v1/webhook-secret/rotate"):
        refused(403, "insufficient_scope", writer.post, one)
        assert refused(422, "invalid_request", api.post, one, json={"keep_hours": 721})["param"] == "keep_hours"
    refused(404, "not_found", stranger.post, path)
