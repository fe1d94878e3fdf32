"""Is a webhook really the service's? Standard Webhooks 1.0, by its published package."""

from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The event in a webhook's raw body.

    `secret` is the endpoint's `whsec_...`. Raises standardwebhooks.WebhookVerificationError for a wrong signature
    or a timestamp more than five minutes off (an old message sent again).
    """
    event: dict[str, Any] = Webhook(secret).verify(body, dict(headers))
    return event
