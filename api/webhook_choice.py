"""The choice of events for the webhook URL of a request."""

from typing import TypeVar

from pydantic import ValidationInfo

Events = TypeVar("Events")


def require_webhook_url(events: Events, info: ValidationInfo) -> Events:
    """The events, which a request may name only for its own URL. For a validator of a field after `webhook_url`.

    Raises ValueError.
    """
    if events is not None and "webhook_url" in info.data and info.data["webhook_url"] is None:
        raise ValueError("there is no webhook_url that could get them: give one, or leave webhook_events out")
    return events
