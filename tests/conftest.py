"""The real servers, once for all tests; an empty database and a data folder of its own for each test.

The servers come from wheels, whatever is installed; where LIPE_TEST_DATABASE_URL, LIPE_TEST_BROKER_URL or
LIPE_TEST_S3_ENDPOINT_URL name one, that one is used. Tests empty its tables and its memory: `pytest -n 2` needs two
databases, brokers and buckets, separated by spaces, and each process takes its own.

Shapes are checked in every test: the hook must be in place before anything of lipe_core is imported.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook
from sqlalchemy import Engine

from cli.embedded import postgres, s3, valkey
from ledger import projects
from ledger.database import UnitOfWork, make_engine, migrate, unit_of_work
from ledger.models import Project
from ledger.settings import Settings
from ledger.storage import Storage
from tests.support import typechecker
from tests.support.tables import empty

pytest_plugins = ("tests.support.api_fixtures",)

install_import_hook("lipe_core", f"{typechecker.__name__}.checked")


def named(what: str) -> str | None:
    """What LIPE_TEST_<what> has for this process, if anything."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    given = os.environ.get(f"LIPE_TEST_{what}", "").split()
    if given and process >= len(given):
        raise pytest.UsageError(f"LIPE_TEST_{what} names {len(given)}, too few for all processes: tests would mix")
    return given[process] if given else None


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the embedded servers keep their data and logs."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def database_url(server_folder: Path) -> Iterator[str]:
    """A Postgres."""
    if given := named("DATABASE_URL"):
        yield given
        return
    with postgres.serve(server_folder / "postgres", durable=False, programs=postgres.packaged()) as url:
        yield url


@pytest.fixture(scope="session")
def broker_url(server_folder: Path) -> Iterator[str]:
    """A Valkey or Redis."""
    if given := named("BROKER_URL"):
        yield given
        return
    with valkey.serve(server_folder / "valkey", program=valkey.packaged()) as url:
        yield url


@pytest.fixture(scope="session")
def object_store(server_folder: Path) -> Iterator[s3.S3]:
    """An S3 server."""
    if given := os.environ.get("LIPE_TEST_S3_ENDPOINT_URL"):
        keys = (os.environ[f"LIPE_TEST_S3_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
        yield s3.S3(given, *keys, bucket=named("S3_BUCKET") or "lipe-test")
        return
    with s3.serve(server_folder / "s3") as store:
        yield store


@pytest.fixture(scope="session")
def server_settings(server_folder: Path, database_url: str, broker_url: str, object_store: s3.S3) -> Settings:
    """Settings for the servers; the database has the newest schema, and the bucket is there."""
    settings = Settings(
        database_url=database_url,
        broker_url=broker_url,
        s3_endpoint_url=object_store.endpoint_url,
        s3_bucket=object_store.bucket,
        s3_access_key_id=object_store.access_key_id,
        s3_secret_access_key=object_store.secret_access_key,
        key_pepper="a pepper for tests only",
        allow_private_urls=True,
        data_dir=server_folder / "data",
    )
    migrate(settings)
    Storage(settings).ensure_bucket()
    return settings


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint: random weights, 64-pixel pictures."""
    from tests.support.tiny_checkpoint import write_checkpoint

    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return folder


@pytest.fixture
def settings(server_settings: Settings, tmp_path: Path) -> Settings:
    """The same, with a data folder of this test's own."""
    return server_settings.model_copy(update={"data_dir": tmp_path / "data"})


@pytest.fixture(scope="session")
def engines() -> Iterator[Callable[[str], Engine]]:
    """One engine for each database: connecting anew would take longer than many a test."""
    made: dict[str, Engine] = {}
    yield lambda url: made.get(url) or made.setdefault(url, make_engine(url))
    for engine in made.values():
        engine.dispose()


@pytest.fixture
def engine(settings: Settings, engines: Callable[[str], Engine]) -> Engine:
    """An engine over a database whose tables are empty."""
    engine = engines(settings.database_url)
    empty(engine)
    return engine


@pytest.fixture
def begin(engine: Engine) -> UnitOfWork:
    """One transaction for each `with begin() as session:`."""
    return unit_of_work(engine)


@pytest.fixture(scope="session")
def storage(server_settings: Settings) -> Storage:
    """The object store. What other tests stored may still be there, under other projects."""
    return Storage(server_settings)


@pytest.fixture
def project(begin: UnitOfWork) -> Project:
    """A project without anything."""
    with begin() as session:
        return projects.create(session, "test")
