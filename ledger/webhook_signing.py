"""Signed headers of webhooks (Standard Webhooks 1.0), which requests to the operator's policy have, too."""

import base64
import hashlib
import hmac
from collections.abc import Sequence


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: one signature for each `whsec_` secret, so that secrets can be rotated."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (
        hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256) for secret in secrets
    )
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """All headers of one attempt. All attempts at an event have the same id; the timestamp is the attempt's."""
    return {
        "content-type": "application/json",
        "user-agent": "LIPE-Webhooks/1.0",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, message_id, timestamp, body),
    }
