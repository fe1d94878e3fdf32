"""The boto3 client, configured for any S3-compatible server.

Without keys in the settings, boto3 looks for credentials as every AWS program does: environment variables, a web
identity, shared files, a container's role, a machine's role. It renews temporary ones by itself. Signed URLs then carry
the session's token, and end with it at the latest.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import boto3
from botocore.config import Config

from ledger.settings import Settings

USUAL: Mapping[str, Any] = MappingProxyType(
    {"connect_timeout": 5, "read_timeout": 60, "retries": {"total_max_attempts": 4, "mode": "standard"}}
)
PROBE: Mapping[str, Any] = MappingProxyType(
    {"connect_timeout": 2, "read_timeout": 2, "retries": {"total_max_attempts": 1, "mode": "standard"}}
)
"""Limits of a request that asks whether the server answers."""


def make_client(settings: Settings, endpoint_url: str, limits: Mapping[str, Any] = USUAL) -> Any:
    """A client of the storage at `endpoint_url`. It does not connect yet."""
    # A session of its own: boto3's default session is shared between threads and reads the user's AWS files.
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id or None,
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value() or None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **limits,
        ),
    )


def credentials_source(settings: Settings) -> str | None:
    """Where the credentials come from: "settings", or boto3's name such as "container-role". None: there are none."""
    if settings.s3_access_key_id:
        return "settings"
    found = boto3.session.Session().get_credentials()
    return str(found.method) if found else None
