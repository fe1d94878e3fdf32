"""Uploads that became no image are forgotten, with their files; a subject's erasure knows those that did."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from ledger import erasures, images, subjects, uploads
from ledger.database import UnitOfWork, new_id
from ledger.projects import Project
from ledger.storage import Storage, image_prefix, upload_prefix
from ledger.uploads import SETTLED, Upload, file_key


def sent(begin: UnitOfWork, storage: Storage, project: Project, *, seconds: float) -> Upload:
    """An upload whose URL is good for so long, with its file."""
    with begin() as session:
        upload = uploads.create(session, project.id, content_type="image/png", size=4, seconds=seconds)
    key = file_key(project.id, upload.id)
    storage._client.put_object(Bucket=storage.settings.s3_bucket, Key=key, Body=b"file")
    return upload


def test_what_ended_long_ago_is_forgotten(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    ended = -SETTLED.total_seconds()
    old, late, fresh = (sent(begin, storage, project, seconds=seconds) for seconds in (ended - 1, ended + 60, 60))
    with begin() as session:
        assert uploads.count_pending(session, project.id) == 3
    assert uploads.sweep(begin, storage) == 1
    assert uploads.sweep(begin, storage) == 0
    with begin() as session:
        assert set(session.scalars(select(Upload.id))) == {late.id, fresh.id}
    assert list(storage.keys(upload_prefix(project.id, old.id))) == []
    assert storage.receive(file_key(project.id, late.id), 4) == b"file"


def test_a_file_that_came_again_after_its_use_goes_too(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    upload = sent(begin, storage, project, seconds=-1)
    with begin() as session:
        assert uploads.use(session, project.id, upload.id)
    with begin() as session:
        assert uploads.count_pending(session, project.id) == 0
        with pytest.raises(uploads.Used):
            uploads.use(session, project.id, upload.id)
    assert uploads.sweep(begin, storage, settled=timedelta(0)) == 1
    assert list(storage.keys(upload_prefix(project.id, upload.id))) == []


def test_another_project_uses_nothing(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    upload = sent(begin, storage, project, seconds=60)
    with begin() as session:
        assert uploads.use(session, new_id("prj"), upload.id) is None
        assert session.get_one(Upload, upload.id).used_at is None


def test_an_erasure_takes_the_file_that_a_failure_left(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    """The image was made of it, but its deletion failed, and the subject is erased before the sweep."""
    upload = sent(begin, storage, project, seconds=60)
    image_id = new_id("img")
    picture = storage.put(image_prefix(project.id, image_id), "image.png", b"picture", "image/png")
    with begin() as session:
        uploads.use(session, project.id, upload.id)
        image = images.add(session, project.id, image_id, picture, width=64, height=64, upload_id=upload.id)
        subject = subjects.create(session, project.id, name="Rex", class_noun="dog", token="sks", images=[image])
    with begin() as session:
        erasure = erasures.erase_subject(session, project.id, subject.id)
    erasures.sweep(begin, storage, erasure.id)
    assert list(storage.keys(f"projects/{project.id}/")) == []
