"""Signing secrets of Standard Webhooks 1.0: `whsec_` and the base64 of 24 to 64 random bytes."""

import base64
import secrets

SECRET_BYTES = 32


def new_secret() -> str:
    """Generate a signing secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
