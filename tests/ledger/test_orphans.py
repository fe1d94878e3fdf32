"""The orphan sweep deletes the objects that no row references, and nothing else."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

import pytest

from ledger import attempts, images, uploads
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim
from ledger.database import UnitOfWork
from ledger.models import Job, Project, new_id
from ledger.orphans import OrphanSweep
from ledger.storage import PROJECTS, Storage, attempt_prefix, image_prefix, job_prefix, project_prefix, upload_prefix

AT_ONCE = timedelta(seconds=-5)
"""Objects count as settled immediately. Servers round times to whole seconds."""

Put: TypeAlias = Callable[[str], str]
Left: TypeAlias = Callable[[], set[str]]
Sweep: TypeAlias = Callable[[], None]


@pytest.fixture
def sweep(begin: UnitOfWork, storage: Storage) -> Callable[[], None]:
    """`sweep()` goes through the whole bucket once. Objects of other tests are deleted first."""
    storage.delete_prefix(PROJECTS)

    def sweep_all() -> None:
        sweep = OrphanSweep(begin, storage, settled=AT_ONCE, limit=2)
        sweep.next_page()
        while sweep.after:
            sweep.next_page()

    return sweep_all


@pytest.fixture
def put(storage: Storage, project: Project) -> Callable[[str], str]:
    """`put(prefix)` stores an object and returns its key."""
    return lambda prefix: storage.put(prefix, "file", b"bytes", "image/png").key


@pytest.fixture
def left(storage: Storage, project: Project) -> Callable[[], set[str]]:
    """`left()`: the keys of the project's objects."""
    return lambda: set(storage.keys(project_prefix(project.id)))


def test_images_and_uploads_need_their_rows(
    begin: UnitOfWork, storage: Storage, project: Project, put: Put, left: Left, sweep: Sweep
) -> None:
    image_id = new_id("img")
    with begin() as session:
        stored = storage.put(image_prefix(project.id, image_id), "image.png", b"image", "image/png")
        images.add(session, project.id, image_id, stored, width=64, height=64)
        upload = uploads.create(session, project.id, content_type="image/png", size=5, seconds=60)
    sent = put(upload_prefix(project.id, upload.id))
    for prefix in (image_prefix(project.id, image_id), image_prefix(project.id, new_id("img"))):
        put(prefix)
    put(upload_prefix(project.id, new_id("upl")))
    sweep()
    assert left() == {stored.key, sent}


def test_of_a_finished_job_only_the_artefacts_stay(
    begin: UnitOfWork, storage: Storage, job: Job, claim: Callable[..., Claim], put: Put, left: Left, sweep: Sweep
) -> None:
    attempt = claim(job)
    put(attempt_prefix(job.project_id, job.id, attempt.epoch))
    stored = storage.put(attempt_prefix(job.project_id, job.id, attempt.epoch), "weights", b"weights", "image/png")
    with begin() as session:
        attempts.finish(
            session, attempt, [NewArtefact("adapter", "weights", "image/png", stored)], resolved={}, metrics={},
            manifest={},
        )  # fmt: skip
    put(job_prefix(job.project_id, new_id("job")))
    sweep()
    assert left() == {stored.key}


def test_an_unfinished_job_keeps_all_objects(
    job: Job, claim: Callable[..., Claim], put: Put, left: Left, sweep: Sweep
) -> None:
    waiting = put(attempt_prefix(job.project_id, job.id, 1))
    sweep()
    running = put(attempt_prefix(job.project_id, job.id, claim(job).epoch + 1))
    sweep()
    assert left() == {waiting, running}


def test_young_objects_and_unknown_keys_stay(
    begin: UnitOfWork, storage: Storage, project: Project, put: Put, left: Left, sweep: Sweep
) -> None:
    orphan = put(image_prefix(project.id, new_id("img")))
    OrphanSweep(begin, storage).next_page()
    assert left() == {orphan}
    other = put(f"{project_prefix(project.id)}notes/of-mine/")
    sweep()
    assert left() == {other}


def test_objects_of_unknown_projects_stay(storage: Storage, sweep: Sweep) -> None:
    unknown = new_id("prj")
    key = storage.put(image_prefix(unknown, new_id("img")), "file", b"bytes", "image/png").key
    sweep()
    assert list(storage.keys(project_prefix(unknown))) == [key]


def test_the_sweep_starts_again_at_the_end(begin: UnitOfWork, storage: Storage, project: Project, put: Put) -> None:
    sweep = OrphanSweep(begin, storage, settled=AT_ONCE)
    sweep.next_page()  # objects of other tests
    for _ in range(2):
        put(image_prefix(project.id, new_id("img")))
        assert sweep.next_page() == 1
        assert sweep.next_page() == 0
