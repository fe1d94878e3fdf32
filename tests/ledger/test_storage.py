"""The storage over a real S3 server: `put` reads back what it stored; a signed URL opens its own object only."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ledger.models import new_id
from ledger.settings import Settings
from ledger.storage import (
    NoSuchObject,
    ObjectDamaged,
    Storage,
    StorageError,
    StoredObject,
    WrongSize,
    attempt_prefix,
    job_prefix,
)


@pytest.fixture
def prefix() -> str:
    """A prefix for this test alone: the bucket is shared."""
    return attempt_prefix(new_id("prj"), "job_1", 1)


def test_put_reads_back_what_it_stored(storage: Storage, prefix: str) -> None:
    stored = storage.put(prefix, "a.bin", b"content", "application/octet-stream")
    assert (stored.size, storage.get(stored.key, stored.sha256)) == (7, b"content")
    assert storage.verify(stored)
    assert not storage.verify(StoredObject(stored.key, 7, "0" * 64))
    assert not storage.verify(StoredObject(f"{prefix}absent", 7, stored.sha256))
    assert storage.read_back(stored.key) == stored
    with pytest.raises(NoSuchObject, match="there is no"):
        storage.read_back(f"{prefix}absent")


def test_other_content_gets_another_key(storage: Storage, prefix: str) -> None:
    first = storage.put(prefix, "a.bin", b"content", "application/octet-stream")
    second = storage.put(prefix, "a.bin", b"another", "application/octet-stream")
    assert storage.get(first.key, first.sha256) == b"content"
    assert sorted(storage.keys(prefix)) == sorted([first.key, second.key])


def test_a_download_is_complete_or_absent(storage: Storage, prefix: str, tmp_path: Path) -> None:
    stored = storage.put(prefix, "a.bin", b"content", "application/octet-stream")
    storage.download(stored.key, stored.sha256, tmp_path / "a.bin")
    with pytest.raises(NoSuchObject):
        storage.download(f"{prefix}absent", stored.sha256, tmp_path / "b.bin")
    for damaged in (b"conten", b"CONTENT"):
        storage._client.put_object(Bucket=storage.settings.s3_bucket, Key=stored.key, Body=damaged)
        with pytest.raises(ObjectDamaged, match="differs from what was stored"):
            storage.download(stored.key, stored.sha256, tmp_path / "b.bin")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.bin": b"content"}


def test_deleting_a_prefix_spares_its_neighbour(storage: Storage) -> None:
    project = new_id("prj")
    for job in ("job_1", "job_10"):
        storage.put(attempt_prefix(project, job, 1), "a.bin", b"content", "application/octet-stream")
    assert storage.delete_prefix(job_prefix(project, "job_1")) == 1
    assert len(list(storage.keys(job_prefix(project, "job_10")))) == 1
    with pytest.raises(ValueError, match="slash"):
        storage.delete_prefix(f"projects/{project}/jobs/job_1")


def test_a_signed_url_opens_its_object_and_no_other(storage: Storage, prefix: str) -> None:
    stored = storage.put(prefix, "a.bin", b"content", "application/octet-stream")
    other = storage.put(prefix, "b.bin", b"secret", "application/octet-stream")
    url = storage.presign_get(stored.key, filename="rex.bin")
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"content"
    for wrong in (url.replace(stored.key, other.key), url.split("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as refusal, urllib.request.urlopen(wrong):
            pass
        refusal.value.close()


def test_signed_urls_are_for_the_public_endpoint(settings: Settings, prefix: str) -> None:
    public = settings.s3_endpoint_url.replace("127.0.0.1", "localhost")
    storage = Storage(settings.model_copy(update={"s3_public_endpoint_url": public}))
    stored = storage.put(prefix, "a.bin", b"content", "application/octet-stream")
    url = storage.presign_get(stored.key)
    assert url.startswith(f"{public}/")
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"content"


def test_a_signed_url_accepts_an_upload(storage: Storage, prefix: str) -> None:
    key = f"{prefix}upload"
    url = storage.presign_put(key, "image/png", 7)
    for wrong in (b"contents", b"conten"):
        request = urllib.request.Request(url, wrong, {"Content-Type": "image/png"}, method="PUT")
        with pytest.raises(urllib.error.HTTPError) as refusal, urllib.request.urlopen(request):
            pass
        refusal.value.close()
    request = urllib.request.Request(url, b"content", {"Content-Type": "image/png"}, method="PUT")
    with urllib.request.urlopen(request):
        pass
    assert storage.receive(key, 7) == b"content"
    with pytest.raises(WrongSize, match="7 bytes, not 8"):
        storage.receive(key, 8)


def test_an_unavailable_storage_is_a_storage_error(settings: Settings) -> None:
    unavailable = Storage(settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"}))
    assert not unavailable.is_ready()
    for call in (
        lambda: unavailable.get("key", "0" * 64),
        lambda: unavailable.put("prefix/", "name", b"", "text/plain"),
        lambda: list(unavailable.keys("prefix/")),
    ):
        with pytest.raises(StorageError):
            call()
