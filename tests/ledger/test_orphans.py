"""Objects that no row knows are deleted, and nothing else is."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from ledger import attempts, images, uploads
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim
from ledger.database import UnitOfWork, new_id
from ledger.jobs import Job
from ledger.orphans import OrphanSweep
from ledger.projects import Project
from ledger.storage import PROJECTS, Storage, attempt_prefix, image_prefix, job_prefix, project_prefix, upload_prefix

AT_ONCE = timedelta(seconds=-5)
"""What was stored just now is settled: servers tell the time in whole seconds."""


@pytest.fixture
def sweep(begin: UnitOfWork, storage: Storage) -> Callable[[], None]:
    """One whole walk, over nothing that other tests left."""
    storage.delete_prefix(PROJECTS)

    def walk() -> None:
        walking = OrphanSweep(begin, storage, settled=AT_ONCE, limit=2)
        walking.next_page()
        while walking.after:
            walking.next_page()

    return walk


@pytest.fixture
def put(storage: Storage, project: Project) -> Callable[[str], str]:
    """`put(prefix)`: an object there; its key."""
    return lambda prefix: storage.put(prefix, "file", b"bytes", "image/png").key


@pytest.fixture
def left(storage: Storage, project: Project) -> Callable[[], set[str]]:
    """The keys of the project's objects."""
    return lambda: set(storage.keys(project_prefix(project.id)))


Put, Left, Sweep = Callable[[str], str], Callable[[], set[str]], Callable[[], None]


def test_pictures_and_uploads_need_their_rows(
    begin: UnitOfWork, storage: Storage, project: Project, put: Put, left: Left, sweep: Sweep
) -> None:
    image_id = new_id("img")
    with begin() as session:
        picture = storage.put(image_prefix(project.id, image_id), "image.png", b"picture", "image/png")
        images.add(session, project.id, image_id, picture, width=64, height=64)
        upload = uploads.create(session, project.id, content_type="image/png", size=5, seconds=60)
    sent = put(upload_prefix(project.id, upload.id))
    for prefix in (image_prefix(project.id, image_id), image_prefix(project.id, new_id("img"))):
        put(prefix)
    put(upload_prefix(project.id, new_id("upl")))
    sweep()
    assert left() == {picture.key, sent}


def test_of_a_job_that_is_over_only_its_artefacts_stay(
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


def test_a_job_that_is_not_over_keeps_all(
    job: Job, claim: Callable[..., Claim], put: Put, left: Left, sweep: Sweep
) -> None:
    waiting = put(attempt_prefix(job.project_id, job.id, 1))
    sweep()
    running = put(attempt_prefix(job.project_id, job.id, claim(job).epoch + 1))
    sweep()
    assert left() == {waiting, running}


def test_what_is_young_or_not_ours_stays(
    begin: UnitOfWork, storage: Storage, project: Project, put: Put, left: Left, sweep: Sweep
) -> None:
    orphan = put(image_prefix(project.id, new_id("img")))
    OrphanSweep(begin, storage).next_page()
    assert left() == {orphan}
    other = put(f"{project_prefix(project.id)}notes/of-mine/")
    sweep()
    assert left() == {other}


def test_a_database_that_does_not_know_the_project_deletes_nothing_of_it(storage: Storage, sweep: Sweep) -> None:
    strange = new_id("prj")
    key = storage.put(image_prefix(strange, new_id("img")), "file", b"bytes", "image/png").key
    sweep()
    assert list(storage.keys(project_prefix(strange))) == [key]


def test_a_walk_begins_anew_at_its_end(begin: UnitOfWork, storage: Storage, project: Project, put: Put) -> None:
    walking = OrphanSweep(begin, storage, settled=AT_ONCE)
    walking.next_page()  # what other tests left
    for _ in range(2):
        put(image_prefix(project.id, new_id("img")))
        assert walking.next_page() == 1
        assert walking.next_page() == 0
