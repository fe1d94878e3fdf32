"""Signatures are the standard's; the verdict on each kind of answer is the contract's."""

import base64
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from worker.safehttp import Answer
from worker.webhooks import RETRY_SECONDS, headers, judge, retry_after

BODY = '{"type":"edit.succeeded","data":{"name":"Müller"}}'.encode()


def _secret(letter: bytes) -> str:
    return "whsec_" + base64.b64encode(letter * 32).decode()


def _answer(status: int, **more: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in more.items()}, b"")


def test_the_published_package_verifies_our_headers() -> None:
    sent = headers([_secret(b"a")], "msg_1", int(time.time()), BODY)
    assert Webhook(_secret(b"a")).verify(BODY, sent)["type"] == "edit.succeeded"


def test_either_secret_verifies_while_one_is_rotated() -> None:
    sent = headers([_secret(b"a"), _secret(b"b")], "msg_1", int(time.time()), BODY)
    for letter in (b"a", b"b"):
        Webhook(_secret(letter)).verify(BODY, sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(_secret(b"c")).verify(BODY, sent)


def test_a_changed_body_and_an_old_timestamp_are_refused() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(_secret(b"a")).verify(BODY + b" ", headers([_secret(b"a")], "msg_1", int(time.time()), BODY))
    with pytest.raises(WebhookVerificationError):
        Webhook(_secret(b"a")).verify(BODY, headers([_secret(b"a")], "msg_1", int(time.time()) - 3600, BODY))


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_only_2xx_is_success(status: int) -> None:
    assert judge(_answer(status), 1, chance=0.5).outcome == "delivered"


@pytest.mark.parametrize("status", [199, 301, 302, 307, 400, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int) -> None:
    assert judge(_answer(status), 1, chance=0.5).outcome == "retry"


def test_gone_disables_at_once() -> None:
    assert judge(_answer(410), 1, chance=0.5).outcome == "disabled"


def test_the_schedule_is_followed_to_its_end() -> None:
    waits = [judge(None, attempt, chance=0.5).retry_in for attempt in range(1, len(RETRY_SECONDS) + 1)]
    assert waits == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert judge(None, len(RETRY_SECONDS) + 1, chance=0.5).outcome == "exhausted"


def test_jitter_stays_within_a_tenth() -> None:
    assert judge(None, 2, chance=0.0).retry_in == pytest.approx(270)
    assert judge(None, 2, chance=1.0).retry_in == pytest.approx(330)


def test_retry_after_can_only_delay() -> None:
    assert judge(_answer(429, retry_after="60"), 1, chance=0.5).retry_in == 60
    assert judge(_answer(503, retry_after="1"), 2, chance=0.5).retry_in == 300
    assert judge(_answer(503, retry_after="999999999"), 1, chance=0.5).retry_in < 100_000


def test_retry_after_reads_dates_and_survives_nonsense() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert retry_after({"retry-after": soon}) == pytest.approx(90, abs=3)
    for nonsense in ("", "soon", "-5", "1e9", "\u00b2"):
        assert retry_after({"retry-after": nonsense}) == 0
