"""Objects in S3-compatible storage.

Keys contain the project, the job and the attempt, and the hash of the content, so no object is ever overwritten with
other bytes. A row references an object only after `put` has read it back.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from ledger import bucket_cors
from ledger.bucket_cors import CorsUnsupported
from ledger.object_stream import (
    CHUNK_BYTES,
    NoSuchObject,
    ObjectStream,
    RangeOutside,
    StorageError,
    open_object,
    storage_errors,
)
from ledger.s3_client import PROBE, make_client
from ledger.settings import Settings
from ledger.signed_urls import ApiUrls, S3Urls, SignedUrls

__all__ = [
    "PROJECTS",
    "CorsUnsupported",
    "NoSuchObject",
    "ObjectDamaged",
    "RangeOutside",
    "Storage",
    "StorageError",
    "StoredObject",
    "TooLarge",
    "WrongSize",
    "attempt_prefix",
    "image_prefix",
    "import_prefix",
    "job_prefix",
    "project_prefix",
    "upload_prefix",
]

HASH_DIGITS = 16


class ObjectDamaged(StorageError):
    """The object differs from the one that was stored."""


class TooLarge(StorageError):
    """The object has more bytes than the caller can take."""


class WrongSize(Exception):
    """A user's file does not have the size that the upload has."""


@dataclass(frozen=True)
class StoredObject:
    """An object that was read back: key, size in bytes and SHA-256 (hex)."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Storage:
    """The bucket of the service. It connects at the first use."""

    settings: Settings

    def open(self) -> None:
        """Make the clients, so that the first request does not wait for it. It does not connect."""
        _ = self._client, self._urls, self._probe

    def put(self, prefix: str, name: str, content: bytes | Path, content_type: str) -> StoredObject:
        """Store under `<prefix><hash>-<name>` and read it back. Raises StorageError."""
        body = content if isinstance(content, bytes) else content.read_bytes()
        sha256 = hashlib.sha256(body).hexdigest()
        stored = StoredObject(f"{prefix}{sha256[:HASH_DIGITS]}-{name}", len(body), sha256)
        self.put_file(stored.key, body, content_type)
        if not self.verify(stored):
            raise StorageError(f"object {stored.key} differs from what was stored")
        return stored

    def verify(self, stored: StoredObject) -> bool:
        """Whether the object exists with this size and hash; also False if the storage does not answer."""
        try:
            return self.read_back(stored.key) == stored
        except (NoSuchObject, StorageError):
            return False

    def read_back(self, key: str) -> StoredObject:
        """Read the whole object and return its real size and hash (ETags are not portable).

        Raises NoSuchObject and StorageError.
        """
        digest, size = hashlib.sha256(), 0
        with self.stream(key) as body:
            while chunk := body.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return StoredObject(key, size, digest.hexdigest())

    def get(self, key: str, sha256: str, most_bytes: float = math.inf) -> bytes:
        """Return the object's bytes, checked by their SHA-256 (hex). Nothing of a larger object is read.

        Raises TooLarge, ObjectDamaged, NoSuchObject and StorageError.
        """
        with self.stream(key) as body:
            if body.size > most_bytes:
                raise TooLarge(f"object {key} has {body.size} bytes, more than {most_bytes}")
            content = body.read()
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise ObjectDamaged(f"object {key} differs from what was stored: {len(content)} bytes of SHA-256 {found}")
        return content

    def receive(self, key: str, size: int) -> bytes:
        """Return the bytes of a user's file, if it has `size` bytes; otherwise nothing of it is read.

        Raises WrongSize, NoSuchObject and StorageError.
        """
        with self.stream(key) as body:
            if body.size != size:
                raise WrongSize(f"it has {body.size} bytes, not {size}")
            return body.read()

    def stream(self, key: str, byte_range: str | None = None) -> ObjectStream:
        """Open an object, or the bytes of a `Range` header. Raises RangeOutside, NoSuchObject and StorageError."""
        return open_object(self._client, self.settings.s3_bucket, key, byte_range)

    def copy(self, source: str, target: str) -> StoredObject:
        """Copy an object within the bucket and read the copy back. Raises NoSuchObject and StorageError."""
        place = {"Bucket": self.settings.s3_bucket, "Key": source}
        with storage_errors("get", source):
            self._client.copy_object(Bucket=self.settings.s3_bucket, Key=target, CopySource=place)
        return self.read_back(target)

    def put_file(self, key: str, content: bytes | IO[bytes], content_type: str) -> None:
        """Store bytes under this key, without reading them back. Raises StorageError."""
        with storage_errors("put", key):
            self._client.put_object(Bucket=self.settings.s3_bucket, Key=key, Body=content, ContentType=content_type)

    def download(self, key: str, sha256: str, file: Path) -> None:
        """`get` into a file, which appears only when it is complete."""
        unfinished = file.with_name(f".{file.name}.unfinished")
        unfinished.write_bytes(self.get(key, sha256))
        unfinished.replace(file)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that start with `prefix`, in the server's order."""
        with storage_errors("list", prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.settings.s3_bucket, Prefix=prefix):
                yield from (entry["Key"] for entry in page.get("Contents", ()))

    def page(self, prefix: str, after: str, limit: int = 1000) -> list[tuple[str, datetime]]:
        """Up to `limit` pairs of key and time of the last change: keys that begin with `prefix` and follow `after`."""
        with storage_errors("list", prefix):
            page = self._client.list_objects_v2(
                Bucket=self.settings.s3_bucket, Prefix=prefix, StartAfter=after, MaxKeys=limit
            )
        return [(entry["Key"], entry["LastModified"]) for entry in page.get("Contents", ())]

    def delete(self, key: str) -> None:
        """Delete one object; it need not exist."""
        with storage_errors("delete", key):
            self._client.delete_object(Bucket=self.settings.s3_bucket, Key=key)

    def delete_prefix(self, prefix: str) -> int:
        """Delete all objects whose keys start with `prefix`, which must end with a slash; return their number."""
        if not prefix.endswith("/"):
            raise ValueError("the prefix must end with a slash, otherwise job_1 would include job_10")
        # One at a time: servers differ in the checksum header that bulk deletion requires.
        keys = list(self.keys(prefix))
        for key in keys:
            self.delete(key)
        return len(keys)

    def presign_get(self, key: str, *, filename: str | None = None, seconds: int | None = None) -> str:
        """A short-lived URL to GET the object. Its lifetime in `seconds` is by default that of the settings."""
        return self._urls.get(key, filename, seconds)

    def presign_put(self, key: str, content_type: str, size: int) -> str:
        """A short-lived URL to PUT an object of exactly this content type and size in bytes."""
        return self._urls.put(key, content_type, size)

    def ensure_bucket(self) -> None:
        """Create the bucket if it does not exist."""
        with storage_errors("make bucket", self.settings.s3_bucket):
            try:
                if not self.is_ready():
                    self._client.create_bucket(Bucket=self.settings.s3_bucket)
            except ClientError:
                if not self.is_ready():  # otherwise another program created it at the same time
                    raise

    def allow_origins(self) -> None:
        """Let web pages of the settings' origins use signed URLs from a browser. Raises CorsUnsupported, StorageError.

        With `public_url` the API serves the files, and the bucket needs no rule.
        """
        origins = [] if self.settings.public_url else self.settings.allowed_origins
        with storage_errors("set CORS rules of", self.settings.s3_bucket):
            bucket_cors.allow_origins(self._client, self.settings.s3_bucket, origins)

    def is_ready(self) -> bool:
        """Whether the storage answers within seconds and has the bucket."""
        try:
            self._probe.head_bucket(Bucket=self.settings.s3_bucket)
        except (ClientError, BotoCoreError):
            return False
        return True

    @cached_property
    def _urls(self) -> SignedUrls:
        if self.settings.public_url:
            return ApiUrls(self.settings)
        return S3Urls(self._public_client, self.settings)

    @cached_property
    def _client(self) -> Any:
        return make_client(self.settings, self.settings.s3_endpoint_url)

    @cached_property
    def _probe(self) -> Any:
        return make_client(self.settings, self.settings.s3_endpoint_url, PROBE)

    @cached_property
    def _public_client(self) -> Any:
        if self.settings.public_endpoint_url == self.settings.s3_endpoint_url:
            return self._client  # making a client takes tens of milliseconds
        return make_client(self.settings, self.settings.public_endpoint_url)


PROJECTS = "projects/"
"""The prefix of all objects."""


def project_prefix(project_id: str) -> str:
    """The prefix of a project's objects."""
    return f"{PROJECTS}{project_id}/"


def image_prefix(project_id: str, image_id: str) -> str:
    """The prefix of an image's object."""
    return f"{project_prefix(project_id)}images/{image_id}/"


def upload_prefix(project_id: str, upload_id: str) -> str:
    """The prefix of the file that a user sends by a signed URL."""
    return f"{project_prefix(project_id)}uploads/{upload_id}/"


def import_prefix(project_id: str, prior_id: str) -> str:
    """The prefix of the file that a prior is imported from."""
    return f"{project_prefix(project_id)}imports/{prior_id}/"


def job_prefix(project_id: str, job_id: str) -> str:
    """The prefix of the objects of all attempts of a job."""
    return f"{project_prefix(project_id)}jobs/{job_id}/"


def attempt_prefix(project_id: str, job_id: str, epoch: int) -> str:
    """The prefix of one attempt's objects, so that a lost attempt cannot overwrite those of another."""
    return f"{job_prefix(project_id, job_id)}{epoch}/"
