"""The demo's webhook receiver."""

import time

import httpx
import pytest
from standardwebhooks import WebhookVerificationError

from ledger.webhook_secrets import new_secret
from ledger.webhook_signing import headers
from menagerie.receiver import run_receiver

BODY = b'{"type":"edit.succeeded","timestamp":"2026-01-01T00:00:00Z","data":{"job_id":"job_1"}}'


def test_a_signed_message_is_verified() -> None:
    secret = new_secret()
    with run_receiver() as receiver:
        response = httpx.post(receiver.url, content=BODY, headers=headers([secret], "msg_1", int(time.time()), BODY))
        assert response.status_code == 204
        (event,) = receiver.wait_for({"job_1"}, secret)
    assert event["type"] == "edit.succeeded"


def test_a_forged_message_is_refused() -> None:
    with run_receiver() as receiver:
        httpx.post(receiver.url, content=BODY, headers=headers([new_secret()], "msg_1", int(time.time()), BODY))
        with pytest.raises(WebhookVerificationError):
            receiver.wait_for({"job_1"}, new_secret())


def test_a_message_that_does_not_arrive_is_named() -> None:
    with run_receiver() as receiver, pytest.raises(TimeoutError, match="job_2"):
        receiver.wait_for({"job_2"}, new_secret(), timeout=0.05)
