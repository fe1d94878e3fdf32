"""The real servers, embedded, once for all tests; an empty database and a data folder of its own for each test.

Shapes are checked in every test: the hook must be in place before anything of lipe_core is imported.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook
from sqlalchemy import Engine, text

from cli.embedded import postgres, s3, valkey
from ledger import projects
from ledger.database import UnitOfWork, make_engine, migrate, unit_of_work
from ledger.projects import Project
from ledger.settings import Settings
from ledger.storage import Storage
from ledger.tables import METADATA
from tests import typechecker

install_import_hook("lipe_core", f"{typechecker.__name__}.checked")


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the embedded servers keep their data and logs."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def database_url(server_folder: Path) -> Iterator[str]:
    """An embedded Postgres."""
    with postgres.serve(server_folder / "postgres", durable=False) as url:
        yield url


@pytest.fixture(scope="session")
def broker_url(server_folder: Path) -> Iterator[str]:
    """An embedded Valkey."""
    with valkey.serve(server_folder / "valkey") as url:
        yield url


@pytest.fixture(scope="session")
def object_store(server_folder: Path) -> Iterator[s3.S3]:
    """An embedded S3 server with a bucket."""
    with s3.serve(server_folder / "s3") as store:
        yield store


@pytest.fixture(scope="session")
def server_settings(server_folder: Path, database_url: str, broker_url: str, object_store: s3.S3) -> Settings:
    """Settings for the embedded servers; the database has the newest schema."""
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
    return settings


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint: random weights, 64-pixel pictures."""
    from tests.tiny_checkpoint import write_checkpoint  # diffusers takes seconds to import: only who needs it pays

    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return folder


@pytest.fixture
def settings(server_settings: Settings, tmp_path: Path) -> Settings:
    """The same, with a data folder of this test's own."""
    return server_settings.model_copy(update={"data_dir": tmp_path / "data"})


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """An engine over a database whose tables are empty."""
    engine = make_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY CASCADE"))
    yield engine
    engine.dispose()


@pytest.fixture
def begin(engine: Engine) -> UnitOfWork:
    """One transaction for each `with begin() as session:`."""
    return unit_of_work(engine)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    """The object store. What other tests stored may still be there, under other projects."""
    return Storage(settings)


@pytest.fixture
def project(begin: UnitOfWork) -> Project:
    """A project without anything."""
    with begin() as session:
        return projects.create(session, "test")
