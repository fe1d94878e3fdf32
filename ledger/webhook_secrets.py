"""Signing secrets of Standard Webhooks 1.0: `whsec_` and the base64 of 24 to 64 random bytes."""

import base64
import binascii
import secrets
from collections.abc import Sequence
from datetime import datetime

SECRET_BYTES = 32
SHORTEST_BYTES, LONGEST_BYTES = 24, 64


def new_secret() -> str:
    """Generate a signing secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def rotated(secrets: Sequence[str], *, keep: bool) -> list[str]:
    """A new secret first, then the newest of the present ones if it is kept."""
    return [new_secret(), *(secrets[:1] if keep else ())]


def live(secrets: Sequence[str], former_expires_at: datetime | None, present: datetime) -> list[str]:
    """The secrets that sign: all of them, or only the newest once the former one has expired."""
    is_over = former_expires_at is not None and former_expires_at <= present
    return list(secrets[:1] if is_over else secrets)


def is_secret(text: str) -> bool:
    """Whether the text is a signing secret."""
    prefix, encoded = text[:6], text[6:]
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        return False
    return prefix == "whsec_" and SHORTEST_BYTES <= size <= LONGEST_BYTES
