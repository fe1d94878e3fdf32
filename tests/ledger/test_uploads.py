"""Uploads that did not become images are deleted with their files; an erasure deletes those that did."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from ledger import erasures, images, subjects, uploads
from ledger.database import UnitOfWork
from ledger.models import Project, Upload, new_id
from ledger.storage import Storage, image_prefix, upload_prefix
from ledger.uploads import SETTLED, file_key


def sent(begin: UnitOfWork, storage: Storage, project: Project, *, seconds: float) -> Upload:
    """An upload with its file; its URL is valid for `seconds`."""
    with begin() as session:
        upload = uploads.create(session, project.id, content_type="image/png", size=4, seconds=seconds)
    key = file_key(project.id, upload.id)
    storage._client.put_object(Bucket=storage.settings.s3_bucket, Key=key, Body=b"file")
    return upload


def test_an_upload_that_expired_long_ago_is_deleted(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    settled = -SETTLED.total_seconds()
    old, late, fresh = (sent(begin, storage, project, seconds=seconds) for seconds in (settled - 1, settled + 60, 60))
    with begin() as session:
        assert uploads.count_pending(session, project.id) == 3
    assert uploads.sweep(begin, storage) == 1
    assert uploads.sweep(begin, storage) == 0
    with begin() as session:
        assert set(session.scalars(select(Upload.id))) == {late.id, fresh.id}
    assert list(storage.keys(upload_prefix(project.id, old.id))) == []
    assert storage.receive(file_key(project.id, late.id), 4) == b"file"


def test_a_used_upload_is_deleted_too(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    upload = sent(begin, storage, project, seconds=-1)
    with begin() as session:
        assert uploads.use(session, project.id, upload.id)
    with begin() as session:
        assert uploads.count_pending(session, project.id) == 0
        with pytest.raises(uploads.AlreadyUsed):
            uploads.use(session, project.id, upload.id)
    assert uploads.sweep(begin, storage, settled=timedelta(0)) == 1
    assert list(storage.keys(upload_prefix(project.id, upload.id))) == []


def test_another_project_uses_nothing(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    upload = sent(begin, storage, project, seconds=60)
    with begin() as session:
        assert uploads.use(session, new_id("prj"), upload.id) is None
        assert session.get_one(Upload, upload.id).used_at is None


def test_an_erasure_deletes_the_file_of_an_upload(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    """The file became an image, but its deletion failed, and the subject is erased before the sweep."""
    upload = sent(begin, storage, project, seconds=60)
    image_id = new_id("img")
    stored = storage.put(image_prefix(project.id, image_id), "image.png", b"image", "image/png")
    with begin() as session:
        uploads.use(session, project.id, upload.id)
        image = images.add(session, project.id, image_id, stored, width=64, height=64, upload_id=upload.id)
        subject = subjects.create(session, project.id, name="Rex", class_noun="dog", token="sks", images=[image])
    with begin() as session:
        erasure = erasures.erase_subject(session, project.id, subject.id)
    assert erasure
    erasures.sweep(begin, storage, erasure.id)
    assert list(storage.keys(f"projects/{project.id}/")) == []
