"""Webhook delivery: Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks).

One call is one attempt at one delivery. The body was stored as bytes with the event and is sent as those bytes.
What an answer means is decided by `judge`, a pure function; when to try again is in the database, so a process
that dies here costs one lease, not a delivery.
"""

import base64
import hashlib
import hmac
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from ledger import deliveries
from ledger.addresses import Forbidden
from ledger.database import UnitOfWork
from ledger.deliveries import Outcome
from worker.safehttp import Answer, Unreachable, post

RETRY_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.1
LONGEST_WAIT_SECONDS = 86_400
GONE = 410
TIMEOUT_SECONDS = 15.0
LEASE_SECONDS = 60.0
PORTS = {"http": 80, "https": 443}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What one attempt means for the delivery; `retry_in` (seconds) belongs to "retry" alone."""

    outcome: Outcome
    retry_in: float | None = None


def deliver(begin: UnitOfWork, delivery_id: str, *, allow_private: bool) -> None:
    """Make one attempt at the delivery; nothing if it is not there to be taken."""
    with begin() as session:
        sending = deliveries.claim(session, delivery_id, LEASE_SECONDS)
    if sending is None:
        return
    answer, error = None, None
    fields = headers(sending.secrets, sending.message_id, int(time.time()), sending.body)
    try:
        answer = post(sending.url, sending.body, fields, seconds=TIMEOUT_SECONDS, allow_private=allow_private)
    except (Unreachable, Forbidden) as reason:
        error = str(reason)
    status = answer.status if answer is not None else None
    verdict = judge(answer, sending.attempt, chance=random.random())  # noqa: S311
    log.info("delivery %s: attempt %d: %s: %s", delivery_id, sending.attempt, status or error, verdict.outcome)
    with begin() as session:
        deliveries.record_outcome(
            session, delivery_id, sending.attempt, verdict.outcome, verdict.retry_in, status, error
        )


def receiver(begin: UnitOfWork, delivery_id: str) -> tuple[str, str | None, int] | None:
    """Who gets the delivery: its project, and host and port of its URL; None: there is no such delivery."""
    with begin() as session:
        destination = deliveries.destination(session, delivery_id)
    if destination is None:
        return None
    url = urlsplit(destination[1])
    return destination[0], url.hostname, url.port or PORTS[url.scheme]


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: one signature for each `whsec_` secret, so that a receiver can rotate."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (
        hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256) for secret in secrets
    )
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """All headers of one attempt. The id is the event's, the same at every attempt; the timestamp is this one's."""
    return {
        "content-type": "application/json",
        "user-agent": "LIPE-Webhooks/1.0",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, message_id, timestamp, body),
    }


def judge(answer: Answer | None, attempt: int, *, chance: float) -> Verdict:
    """The verdict on attempt 1, 2, ...; `answer` is None when there was none, `chance` in [0, 1) makes the jitter."""
    if answer is not None and 200 <= answer.status < 300:
        return Verdict("delivered")
    if answer is not None and answer.status == GONE:
        return Verdict("disabled")
    if attempt > len(RETRY_SECONDS):
        return Verdict("exhausted")
    wait = RETRY_SECONDS[attempt - 1] * (1 + JITTER * (2 * chance - 1))
    asked = retry_after(answer.headers) if answer is not None else 0.0
    return Verdict("retry", min(max(wait, asked), LONGEST_WAIT_SECONDS * (1 + JITTER)))


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the receiver asks for (RFC 9110, 10.2.3: a number or a date); 0 if it does not."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
