"""Signatures as the standard defines them, and the next step after each kind of response."""

import base64
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from ledger.safehttp import Response
from ledger.webhook_signing import headers
from worker.webhooks import RETRY_SECONDS, decide, retry_after

BODY = '{"type":"edit.succeeded","data":{"name":"Müller"}}'.encode()


def _secret(letter: bytes) -> str:
    return "whsec_" + base64.b64encode(letter * 32).decode()


def _response(status: int, **more: str) -> Response:
    return Response(status, {name.replace("_", "-"): value for name, value in more.items()}, b"")


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
    assert decide(_response(status), 1, chance=0.5).outcome == "delivered"


@pytest.mark.parametrize("status", [199, 301, 302, 307, 400, 404, 429, 500, 503])
def test_every_other_status_is_retried(status: int) -> None:
    assert decide(_response(status), 1, chance=0.5).outcome == "retry"


def test_gone_disables_the_endpoint() -> None:
    assert decide(_response(410), 1, chance=0.5).outcome == "disabled"


def test_the_retry_schedule_ends_with_exhausted() -> None:
    waits = [decide(None, attempt, chance=0.5).retry_in for attempt in range(1, len(RETRY_SECONDS) + 1)]
    assert waits == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert decide(None, len(RETRY_SECONDS) + 1, chance=0.5).outcome == "exhausted"


def test_jitter_is_at_most_ten_percent() -> None:
    assert decide(None, 2, chance=0.0).retry_in == pytest.approx(270)
    assert decide(None, 2, chance=1.0).retry_in == pytest.approx(330)


def test_retry_after_can_only_lengthen_the_wait() -> None:
    assert decide(_response(429, retry_after="60"), 1, chance=0.5).retry_in == 60
    assert decide(_response(503, retry_after="1"), 2, chance=0.5).retry_in == 300
    longest = decide(_response(503, retry_after="999999999"), 1, chance=0.5).retry_in
    assert longest is not None
    assert longest < 100_000


def test_retry_after_accepts_dates_and_ignores_invalid_values() -> None:
    now = datetime.now(UTC)
    date = format_datetime(now + timedelta(seconds=90), usegmt=True)
    late = (datetime.now(UTC) - now).total_seconds()
    assert 88 - late <= retry_after({"retry-after": date}) <= 90
    huge = "Mon, 01 Jan 2024 00:00:00 +" + "9" * 20
    for invalid in ("", "soon", "-5", "1e9", "\u00b2", huge, "Mon, 01 Jan 0001 00:00:00 +9999"):
        assert retry_after({"retry-after": invalid}) == 0
