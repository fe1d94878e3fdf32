"""The boto3 client, configured for any S3-compatible server."""

from typing import Any

import boto3
from botocore.config import Config

from ledger.settings import Settings


def make_client(settings: Settings, endpoint_url: str) -> Any:
    """A client of the storage at `endpoint_url`. It does not connect yet."""
    # A session of its own: boto3's default session is shared between threads and reads the user's AWS files.
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=5,
            read_timeout=60,
            retries={"total_max_attempts": 4, "mode": "standard"},
        ),
    )
