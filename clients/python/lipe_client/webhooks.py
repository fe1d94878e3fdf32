"""Verification of webhooks that an app receives: Standard Webhooks 1.0, by its published package."""

from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The event in a webhook's raw body, after its signature was verified.

    `secret` is the endpoint's `whsec_...`. Raises standardwebhooks.WebhookVerificationError if the signature is wrong,
    or if the timestamp differs from now by more than five minutes (a replayed message).
    """
    event: dict[str, Any] = Webhook(secret).verify(body, dict(headers))
    return event
