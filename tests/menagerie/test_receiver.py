import time

import httpx
import pytest
from standardwebhooks import WebhookVerificationError

from ledger.webhook_secrets import new_secret
from menagerie.demo import users_story
from menagerie.receiver import receiving
from worker.webhooks import headers

BODY = b'{"type":"edit.succeeded","timestamp":"2026-01-01T00:00:00Z","data":{"job_id":"job_1"}}'


def test_a_signed_message_is_kept_and_verified() -> None:
    secret = new_secret()
    with receiving() as receiver:
        answer = httpx.post(receiver.url, content=BODY, headers=headers([secret], "msg_1", int(time.time()), BODY))
        assert answer.status_code == 204
        (event,) = receiver.expect({"job_1"}, secret)
    assert event["type"] == "edit.succeeded"


def test_a_forged_message_is_found_out() -> None:
    with receiving() as receiver:
        httpx.post(receiver.url, content=BODY, headers=headers([new_secret()], "msg_1", int(time.time()), BODY))
        with pytest.raises(WebhookVerificationError):
            receiver.expect({"job_1"}, new_secret())


def test_a_message_that_does_not_come_is_named() -> None:
    with receiving() as receiver, pytest.raises(TimeoutError, match="job_2"):
        receiver.expect({"job_2"}, new_secret(), patience=0.05)


def test_too_few_files_are_refused_with_what_to_give(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(SystemExit, match="3 to 5 references"):
        users_story("dog", str(tmp_path / "*.png"), "a sks dog", consent=False)
