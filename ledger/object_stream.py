"""Reading an object of the storage piece by piece, and the errors of the storage."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

CHUNK_BYTES = 1 << 20
NOT_FOUND = frozenset({"NoSuchKey", "404"})
INVALID_RANGE = "InvalidRange"


class StorageError(RuntimeError):
    """The storage failed to carry out the operation; a later attempt may succeed."""


class NoSuchObject(RuntimeError):
    """The storage answered that it has no such object. No later attempt will find it."""


class RangeOutside(RuntimeError):
    """The object has none of the requested bytes."""


@dataclass(frozen=True)
class ObjectStream:
    """An object, or `content_range` of it, that is read and then closed. `size` is in bytes.

    A connection that breaks while it is read raises StorageError.
    """

    stream: BinaryIO
    key: str
    size: int
    content_type: str
    content_range: str | None

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes, or all that follow. Raises StorageError."""
        with storage_errors("read", self.key):
            return self.stream.read(size) if size is not None else self.stream.read()

    def chunks(self) -> Iterator[bytes]:
        """All bytes in pieces. Closes the stream at the end, or when the reader stops. Raises StorageError."""
        with self:
            while chunk := self.read(CHUNK_BYTES):
                yield chunk

    def __enter__(self) -> "ObjectStream":
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()


def open_object(client: Any, bucket: str, key: str, byte_range: str | None = None) -> ObjectStream:
    """Open an object, or the bytes of a `Range` header ("bytes=0-99").

    Raises RangeOutside, NoSuchObject and StorageError.
    """
    ranged = {"Range": byte_range} if byte_range else {}
    with storage_errors("get", key):
        answer = client.get_object(Bucket=bucket, Key=key, **ranged)
        return ObjectStream(
            answer["Body"],
            key,
            answer["ContentLength"],
            answer.get("ContentType", "application/octet-stream"),
            answer.get("ContentRange"),
        )


@contextmanager
def storage_errors(operation: str, key: str) -> Iterator[None]:
    """Turn the library's exceptions into those of this module, with the operation and the key."""
    try:
        yield
    except (ClientError, BotoCoreError, OSError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if operation == "get" and code in NOT_FOUND:
            raise NoSuchObject(f"there is no {key}") from error
        if operation == "get" and code == INVALID_RANGE:
            raise RangeOutside(f"the object {key} has none of these bytes") from error
        raise StorageError(f"cannot {operation} {key}: {error}") from error
