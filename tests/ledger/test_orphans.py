"""The orphan sweep deletes the objects that no row references, and nothing else."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeAlias

import pytest
from sqlalchemy import Engine, text

from ledger import attempts, images, known_periods, projects, uploads
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim
from ledger.database import UnitOfWork, make_engine, unit_of_work
from ledger.models import Job, Project, new_id
from ledger.orphans import OrphanSweep
from ledger.schema import migrate
from ledger.settings import Settings
from ledger.storage import PROJECTS, Storage, attempt_prefix, image_prefix, job_prefix, project_prefix, upload_prefix
from tests.support.pooler import without_pooler
from tests.support.rows import known_since_long

AT_ONCE = timedelta(seconds=-5)
"""Objects count as settled immediately. Servers round times to whole seconds."""

Put: TypeAlias = Callable[[str], str]
Left: TypeAlias = Callable[[], set[str]]
Sweep: TypeAlias = Callable[[], None]


@pytest.fixture
def sweep(begin: UnitOfWork, storage: Storage) -> Callable[[], None]:
    """`sweep()` goes through the whole bucket once. Objects of other tests are deleted first."""
    storage.delete_prefix(PROJECTS)

    known_since_long(begin)

    def sweep_all() -> None:
        with begin() as session:
            known_periods.extend(session)
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


def test_the_sweep_starts_again_at_the_end(
    begin: UnitOfWork, storage: Storage, project: Project, put: Put, sweep: Sweep
) -> None:
    sweep()
    pages = OrphanSweep(begin, storage, settled=AT_ONCE)
    for _ in range(2):
        put(image_prefix(project.id, new_id("img")))
        assert pages.next_page() == 1
        assert pages.next_page() == 0


@without_pooler
def test_a_database_restored_from_a_backup_deletes_nothing_that_was_stored_since(
    engine: Engine, settings: Settings, storage: Storage
) -> None:
    """The backup is a copy of a whole database, which then works again as if nothing had happened."""
    storage.delete_prefix(PROJECTS)
    names = [f"{engine.url.database}_{name}" for name in ("day", "restored")]
    urls = [engine.url.set(database=name).render_as_string(hide_password=False) for name in names]
    admin = engine.execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(text(f"CREATE DATABASE {names[0]}"))
    migrate(settings.model_copy(update={"database_url": urls[0]}))
    with _using(urls[0]) as begin:
        with begin() as session:
            project = projects.create(session, "shop")
        early = _upload(begin, storage, project)
        garbage = storage.put(image_prefix(project.id, new_id("img")), "file", b"1", "image/png").key
        time.sleep(1.1)  # the storage rounds times to whole seconds
        with begin() as session:
            known_periods.extend(session)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {names[1]} TEMPLATE {names[0]}"))
    time.sleep(1.1)
    with _using(urls[0]) as begin:  # the day goes on
        late = [_upload(begin, storage, project) for _ in range(2)]
    with _using(urls[1]) as begin:
        for round_ in range(3):
            with begin() as session:  # a dispatcher for which an outage of a second is a gap
                known_periods.extend(session, gap=timedelta(seconds=1))
            seen = {orphan.key: orphan.is_from_known_time for orphan in _sweep(begin, storage).look()}
            assert seen == dict.fromkeys(late, False) | ({garbage: True} if round_ == 0 else {})
            deleted = _sweep(begin, storage).next_page()
            assert deleted == (1 if round_ == 0 else 0)
        assert set(storage.keys(PROJECTS)) == {early, *late}
        with begin() as session:
            assert known_periods.forget_gaps(session) == 1
        assert _sweep(begin, storage).next_page() == len(late)
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name}"))


def _sweep(begin: UnitOfWork, storage: Storage) -> OrphanSweep:
    return OrphanSweep(begin, storage, settled=timedelta(0))


def _upload(begin: UnitOfWork, storage: Storage, project: Project) -> str:
    image_id = new_id("img")
    stored = storage.put(image_prefix(project.id, image_id), "image.png", image_id.encode(), "image/png")
    with begin() as session:
        images.add(session, project.id, image_id, stored, width=64, height=64)
    return stored.key


@contextmanager
def _using(url: str) -> Iterator[UnitOfWork]:
    engine = make_engine(url, pool_size=1)
    try:
        yield unit_of_work(engine)
    finally:
        engine.dispose()
