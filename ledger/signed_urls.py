"""Signed URLs: each opens one object for a short time, without an API key.

Object storage makes them in production, so that files do not pass through the API. With LIPE_PUBLIC_URL they lead to
the API's own path /files, which needs no second port; the API checks the signature and streams the object. The `Host`
header of a request is not used: a client that forges it could make the service hand out links to another server.
"""

import hashlib
import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from ledger.settings import Settings

FILES_PATH = "/files"
KEY_PURPOSE = b"lipe signed file urls 1"
LONGEST_SECONDS = 604_800
"""The longest lifetime that S3 accepts: a week."""


class SignedUrls(Protocol):
    """Makes URLs that are valid for `seconds`, by default for those of the settings."""

    def get(self, key: str, filename: str | None = None, seconds: int | None = None) -> str:
        """A URL to GET the object. A browser saves it as `filename`, if there is one."""

    def put(self, key: str, content_type: str, size: int) -> str:
        """A URL to PUT an object of exactly this content type and size in bytes."""


@dataclass(frozen=True)
class S3Urls:
    """URLs that the object storage accepts. `client` is one of the storage's public endpoint."""

    client: Any
    settings: Settings

    def get(self, key: str, filename: str | None = None, seconds: int | None = None) -> str:
        """A URL to GET the object."""
        naming = {"ResponseContentDisposition": disposition(filename)} if filename else {}
        return self._presign("get_object", {"Key": key, **naming}, seconds)

    def put(self, key: str, content_type: str, size: int) -> str:
        """A URL to PUT an object."""
        return self._presign("put_object", {"Key": key, "ContentType": content_type, "ContentLength": size}, None)

    def _presign(self, operation: str, parameters: dict[str, Any], seconds: int | None) -> str:
        url: str = self.client.generate_presigned_url(
            operation,
            Params={"Bucket": self.settings.s3_bucket, **parameters},
            ExpiresIn=seconds or self.settings.signed_url_seconds,
        )
        return url


class InvalidUrl(Exception):
    """The signature does not match the request, or the URL has expired; the message says which."""


@dataclass(frozen=True)
class ApiUrls:
    """URLs of the API's path /files. The HMAC covers method, key and all parameters of the query."""

    settings: Settings
    _secret: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        secret = self.settings.file_url_secret.get_secret_value() or self.settings.key_pepper.get_secret_value()
        object.__setattr__(self, "_secret", hmac.digest(secret.encode(), KEY_PURPOSE, hashlib.sha256))

    def get(self, key: str, filename: str | None = None, seconds: int | None = None) -> str:
        """A URL to GET the object."""
        return self._url("GET", key, {"filename": filename} if filename else {}, seconds)

    def put(self, key: str, content_type: str, size: int) -> str:
        """A URL to PUT an object."""
        return self._url("PUT", key, {"content_type": content_type, "size": str(size)}, None)

    def check(self, method: str, key: str, query: Iterable[tuple[str, str]]) -> dict[str, str]:
        """The parameters of a URL that `get` or `put` made for this method and key. Raises InvalidUrl."""
        given = list(query)
        parameters = {name: value for name, value in given if name != "signature"}
        expected = self._sign(method, key, parameters)
        signatures = [value for name, value in given if name == "signature"]
        is_signed = len(given) == len(parameters) + 1 and len(signatures) == 1
        if not is_signed or not hmac.compare_digest(signatures[0].encode(), expected.encode()):
            raise InvalidUrl("the signature does not match: use the URL exactly as the API gave it")
        if int(parameters["expires"]) < time.time():
            raise InvalidUrl("the URL has expired: read the resource again for a new one")
        return parameters

    def _url(self, method: str, key: str, parameters: dict[str, str], seconds: int | None) -> str:
        expires = int(time.time()) + (seconds or self.settings.signed_url_seconds)
        signed = parameters | {"expires": str(expires)}
        query = urlencode(signed | {"signature": self._sign(method, key, signed)})
        return f"{self.settings.public_url}{FILES_PATH}/{quote(key)}?{query}"

    def _sign(self, method: str, key: str, parameters: dict[str, str]) -> str:
        message = f"{method}\n{quote(key)}\n{urlencode(sorted(parameters.items()))}"
        return hmac.new(self._secret, message.encode(), hashlib.sha256).hexdigest()


def disposition(filename: str) -> str:
    """The header `Content-Disposition` that makes a browser save the file."""
    return f'attachment; filename="{filename}"'
