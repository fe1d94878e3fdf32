"""The bucket's CORS rule: which web pages may fetch files by signed URLs from a browser.

The service owns the rule with the id RULE_ID, and leaves the rules of others as they are.
"""

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

RULE_ID = "lipe"
NO_RULES = "NoSuchCORSConfiguration"
MAX_AGE_SECONDS = 600


class CorsUnsupported(Exception):
    """The storage does not accept CORS rules; the message is its answer."""


def allow_origins(client: Any, bucket: str, origins: Sequence[str]) -> None:
    """Set the rule for these origins, or delete it if there are none. Raises CorsUnsupported, only if there are some.

    Other exceptions are those of botocore.
    """
    try:
        present = _rules(client, bucket)
        others = [rule for rule in present if rule.get("ID") != RULE_ID]
        wanted = [*others, _rule(origins)] if origins else others
        if wanted == present:
            return
        if wanted:
            client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": wanted})
        else:
            client.delete_bucket_cors(Bucket=bucket)
        if origins and all(rule.get("ID") != RULE_ID for rule in _rules(client, bucket)):
            raise CorsUnsupported("it accepted the rule, but does not keep it")
    except ClientError as error:
        if origins:
            raise CorsUnsupported(str(error)) from error


def _rules(client: Any, bucket: str) -> list[dict[str, Any]]:
    try:
        return list(client.get_bucket_cors(Bucket=bucket).get("CORSRules", ()))
    except ClientError as error:
        if error.response["Error"]["Code"] == NO_RULES:
            return []
        raise


def _rule(origins: Sequence[str]) -> dict[str, Any]:
    return {
        "ID": RULE_ID,
        "AllowedOrigins": list(origins),
        "AllowedMethods": ["GET", "HEAD", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["Content-Disposition", "Content-Length", "Content-Range", "ETag"],
        "MaxAgeSeconds": MAX_AGE_SECONDS,
    }
