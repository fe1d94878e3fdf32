"""Objects in S3, through boto3: one implementation for every S3-compatible server.

Keys are scoped by project, job and attempt and carry the content's hash, so nothing is ever overwritten with
other bytes. A row points at an object only after `put` has read it back.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ledger.settings import Settings

CHUNK_BYTES = 1 << 20
HASH_DIGITS = 16


NOT_THERE = frozenset({"NoSuchKey", "404"})


class StorageError(RuntimeError):
    """The object store did not do what was asked; trying again may help."""


class NoSuchObject(StorageError):
    """The object store answers that there is no such object."""


class ObjectDamaged(StorageError):
    """What the object store answers is not what was put there."""


class WrongSize(Exception):
    """What a user put there has another size than was announced."""


@dataclass(frozen=True)
class StoredObject:
    """An object that was read back: its key, size in bytes and SHA-256 (hex)."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Storage:
    """The one bucket. Cheap to make; connects at the first use."""

    settings: Settings

    def open(self) -> None:
        """Make the clients now, which the first use would wait for. Connects to nothing."""
        _ = self._client, self._public_client

    def put(self, prefix: str, name: str, content: bytes | Path, content_type: str) -> StoredObject:
        """Store under `<prefix><hash>-<name>` and read it back. Raises StorageError."""
        body = content if isinstance(content, bytes) else content.read_bytes()
        sha256 = hashlib.sha256(body).hexdigest()
        stored = StoredObject(f"{prefix}{sha256[:HASH_DIGITS]}-{name}", len(body), sha256)
        with _named("put", stored.key):
            self._client.put_object(Bucket=self.settings.s3_bucket, Key=stored.key, Body=body, ContentType=content_type)
        if not self.verify(stored):
            raise StorageError(f"object {stored.key} is not what was put")
        return stored

    def verify(self, stored: StoredObject) -> bool:
        """Whether the object exists with exactly this size and hash; False, too, while the store does not answer."""
        try:
            return self.read_back(stored.key) == stored
        except StorageError:
            return False

    def read_back(self, key: str) -> StoredObject:
        """The object as it really is, read whole: ETags are not portable. Raises NoSuchObject, StorageError."""
        digest, size = hashlib.sha256(), 0
        with self._open(key) as body:
            while chunk := body.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return StoredObject(key, size, digest.hexdigest())

    def get(self, key: str, sha256: str) -> bytes:
        """The object's bytes, whose SHA-256 (hex) was recorded. Raises ObjectDamaged, NoSuchObject and StorageError."""
        with self._open(key) as body:
            content = body.read()
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise ObjectDamaged(f"object {key} is not what was put: {len(content)} bytes of SHA-256 {found}")
        return content

    def receive(self, key: str, size: int) -> bytes:
        """What a user put there by a signed URL, if it has this size in bytes; else nothing of it is read.

        Raises WrongSize, NoSuchObject and StorageError.
        """
        with self._open(key) as body:
            if body.size != size:
                raise WrongSize(f"it has {body.size} bytes, not {size}")
            return body.read()

    def download(self, key: str, sha256: str, file: Path) -> None:
        """`get` into a file, whole or not at all."""
        unfinished = file.with_name(f".{file.name}.unfinished")
        unfinished.write_bytes(self.get(key, sha256))
        unfinished.replace(file)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that start with `prefix`, in the server's order."""
        with _named("list", prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.settings.s3_bucket, Prefix=prefix):
                yield from (entry["Key"] for entry in page.get("Contents", ()))

    def page(self, prefix: str, after: str, limit: int = 1000) -> list[tuple[str, datetime]]:
        """At most so many keys that start with `prefix` and come after another, with the time of their last change."""
        with _named("list", prefix):
            page = self._client.list_objects_v2(
                Bucket=self.settings.s3_bucket, Prefix=prefix, StartAfter=after, MaxKeys=limit
            )
        return [(entry["Key"], entry["LastModified"]) for entry in page.get("Contents", ())]

    def delete(self, key: str) -> None:
        """Delete one object; it need not exist."""
        with _named("delete", key):
            self._client.delete_object(Bucket=self.settings.s3_bucket, Key=key)

    def delete_prefix(self, prefix: str) -> int:
        """Delete all that starts with `prefix` (it ends with a slash); the number deleted."""
        if not prefix.endswith("/"):
            raise ValueError("a prefix ends with a slash, or job_1 would take job_10 with it")
        # One at a time: bulk deletion needs a checksum header that not every server agrees on.
        doomed = list(self.keys(prefix))
        for key in doomed:
            self.delete(key)
        return len(doomed)

    def presign_get(self, key: str, *, filename: str | None = None) -> str:
        """A short-lived URL that the public can read, at the public endpoint."""
        naming = {"ResponseContentDisposition": f'attachment; filename="{filename}"'} if filename else {}
        return self._presign("get_object", {"Key": key, **naming})

    def presign_put(self, key: str, content_type: str, size: int) -> str:
        """A short-lived URL to PUT an object to, with exactly this content type and size in bytes."""
        return self._presign("put_object", {"Key": key, "ContentType": content_type, "ContentLength": size})

    def ensure_bucket(self) -> None:
        """Make the bucket if it is not there."""
        with _named("make bucket", self.settings.s3_bucket):
            if not self.is_ready():
                self._client.create_bucket(Bucket=self.settings.s3_bucket)

    def is_ready(self) -> bool:
        """Whether the bucket answers."""
        try:
            self._client.head_bucket(Bucket=self.settings.s3_bucket)
        except (ClientError, BotoCoreError):
            return False
        return True

    def _open(self, key: str) -> "_Body":
        with _named("get", key):
            answer = self._client.get_object(Bucket=self.settings.s3_bucket, Key=key)
            return _Body(answer["Body"], key, answer["ContentLength"])

    def _presign(self, operation: str, parameters: dict[str, Any]) -> str:
        url: str = self._public_client.generate_presigned_url(
            operation,
            Params={"Bucket": self.settings.s3_bucket, **parameters},
            ExpiresIn=self.settings.signed_url_seconds,
        )
        return url

    @cached_property
    def _client(self) -> Any:
        return self._make_client(self.settings.s3_endpoint_url)

    @cached_property
    def _public_client(self) -> Any:
        if self.settings.public_endpoint_url == self.settings.s3_endpoint_url:
            return self._client  # a client takes tens of milliseconds to make
        return self._make_client(self.settings.public_endpoint_url)

    def _make_client(self, endpoint_url: str) -> Any:
        # A session of its own: boto3's default one is shared between threads and reads the user's AWS files.
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=self.settings.s3_region,
            aws_access_key_id=self.settings.s3_access_key_id,
            aws_secret_access_key=self.settings.s3_secret_access_key.get_secret_value(),
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


@dataclass(frozen=True)
class _Body:
    """A response being read; a connection that breaks in the middle is a StorageError, too."""

    stream: BinaryIO
    key: str
    size: int

    def read(self, size: int | None = None) -> bytes:
        with _named("read", self.key):
            return self.stream.read(size) if size is not None else self.stream.read()

    def __enter__(self) -> "_Body":
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()


@dataclass(frozen=True)
class _named:
    """Turn the library's exceptions into StorageError, with the operation and the key."""

    operation: str
    key: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] in NOT_THERE:
            raise NoSuchObject(f"there is no {self.key}") from error
        if isinstance(error, ClientError | BotoCoreError | OSError):
            raise StorageError(f"cannot {self.operation} {self.key}: {error}") from error


PROJECTS = "projects/"
"""Where everything lies."""


def project_prefix(project_id: str) -> str:
    """Where all that belongs to one project lies."""
    return f"{PROJECTS}{project_id}/"


def image_prefix(project_id: str, image_id: str) -> str:
    """Where one uploaded picture lies."""
    return f"{project_prefix(project_id)}images/{image_id}/"


def upload_prefix(project_id: str, upload_id: str) -> str:
    """Where a user puts a file by a signed URL."""
    return f"{project_prefix(project_id)}uploads/{upload_id}/"


def job_prefix(project_id: str, job_id: str) -> str:
    """Where all that a job's attempts made lies."""
    return f"{project_prefix(project_id)}jobs/{job_id}/"


def attempt_prefix(project_id: str, job_id: str, epoch: int) -> str:
    """Where one attempt writes: a lost one cannot touch what another made."""
    return f"{job_prefix(project_id, job_id)}{epoch}/"
