"""The real servers, started once for all tests; an empty database and a data folder for each test.

The servers come from wheels, even if others are installed. LIPE_TEST_DATABASE_URL, LIPE_TEST_BROKER_URL and
LIPE_TEST_S3_ENDPOINT_URL replace them. Tests empty the tables and the broker: `pytest -n 2` needs two databases,
brokers and buckets, separated by spaces, one for each process.

Each test that uses servers or models gets the marker `servers` or `models`: `make test-fast` deselects them.

Shapes are checked in every test: the import hook must be installed before any import of lipe_core.
"""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from jaxtyping import install_import_hook
from sqlalchemy import Engine, make_url

from cli.embedded import postgres, s3, valkey
from ledger import projects, roles
from ledger.database import UnitOfWork, make_engine, unit_of_work
from ledger.models import Project
from ledger.roles import PROGRAMS, Program
from ledger.schema import migrate
from ledger.settings import Settings
from ledger.storage import Storage
from tests.support import typechecker
from tests.support.canary import Canary
from tests.support.tables import empty

pytest_plugins = ("tests.support.api_fixtures",)

install_import_hook("lipe_core", f"{typechecker.__name__}.checked")

CANARY = Canary()
"""Fails each test whose log has a secret (`tests/support/canary.py`)."""
SERVER_FIXTURES = frozenset({"database_url", "broker_url", "object_store", "decoder"})
"""Fixtures that start a server or other processes. Most tests use them through other fixtures."""
SERVER_IMPORTS = frozenset({postgres, s3, valkey})
"""Modules that start a server. A test file that imports one does so without a fixture."""
MODEL_FIXTURES = frozenset(
    {
        "checkpoint", "tiny_checkpoint", "model", "deep_model", "device", "llava",
        "klein_folder", "klein", "clip_folder", "dinov2_folder", "lpips", "judge", "judges", "probe",
    }
)  # fmt: skip
"""Fixtures that write or load a network."""
MODEL_IMPORTS = frozenset(
    {
        "CHECKPOINT", "load_clip", "load_dinov2", "load_judge", "load_judges", "load_probe", "load_wholeness",
        "write_checkpoint", "write_klein", "write_llava",
    }
)  # fmt: skip
"""Names whose import means that a test file writes or loads a network."""
MARKER_OF_FOLDER = {"benchmarks": "models", "reliability": "servers", "service": "servers", "studio": "servers"}
"""Folders whose tests all use servers or models, some of them without a fixture."""


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by `-m`
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their fixtures (direct and indirect), by the imports of their file, and by their folder."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        fixtures = set(getattr(item, "fixturenames", ()))
        names = vars(item.module) if isinstance(item, pytest.Function) else {}
        modules = {value for value in names.values() if isinstance(value, ModuleType)}
        if fixtures & SERVER_FIXTURES or modules & SERVER_IMPORTS:
            item.add_marker("servers")
        if fixtures & MODEL_FIXTURES or set(names) & MODEL_IMPORTS:
            item.add_marker("models")
        if folder in MARKER_OF_FOLDER:
            item.add_marker(MARKER_OF_FOLDER[folder])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Search the logs of each test for secrets."""
    report = yield
    CANARY.check(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def record_secrets() -> Iterator[None]:
    """Record the secrets that are generated during the tests."""
    with CANARY.recording():
        yield


def given(name: str) -> str | None:
    """The value of LIPE_TEST_<name> for this process, if the variable is set."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    values = os.environ.get(f"LIPE_TEST_{name}", "").split()
    if values and process >= len(values):
        raise pytest.UsageError(f"LIPE_TEST_{name} has {len(values)} values: give one for each test process")
    return values[process] if values else None


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the embedded servers' data and logs."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def database_url(server_folder: Path) -> Iterator[str]:
    """The URL of a Postgres."""
    if url := given("DATABASE_URL"):
        yield url
        return
    with postgres.serve(server_folder / "postgres", durable=False, programs=postgres.packaged()) as url:
        yield url


@pytest.fixture(scope="session")
def broker_url(server_folder: Path) -> Iterator[str]:
    """The URL of a Valkey or Redis."""
    if url := given("BROKER_URL"):
        yield url
        return
    with valkey.serve(server_folder / "valkey", program=valkey.packaged()) as url:
        yield url


@pytest.fixture(scope="session")
def object_store(server_folder: Path) -> Iterator[s3.S3]:
    """An S3 server."""
    if url := os.environ.get("LIPE_TEST_S3_ENDPOINT_URL"):
        key_id, secret = os.environ["LIPE_TEST_S3_ACCESS_KEY_ID"], os.environ["LIPE_TEST_S3_SECRET_ACCESS_KEY"]
        yield s3.S3(url, key_id, secret, given("S3_BUCKET") or "lipe-test")
        return
    with s3.serve(server_folder / "s3") as store:
        yield store


@pytest.fixture(scope="session")
def server_settings(server_folder: Path, database_url: str, broker_url: str, object_store: s3.S3) -> Settings:
    """Settings for the servers. The database has the newest schema, and the bucket exists."""
    settings = Settings(
        database_url=database_url,
        broker_url=broker_url,
        s3_endpoint_url=object_store.endpoint_url,
        s3_bucket=object_store.bucket,
        s3_access_key_id=object_store.access_key_id,
        s3_secret_access_key=object_store.secret_access_key,
        key_pepper="a pepper for tests only",
        allow_private_urls=True,
        rate_per_key=1000.0,  # a test may send many requests at once
        data_dir=server_folder / "data",
    )
    migrate(settings)
    Storage(settings).ensure_bucket()
    return settings


@pytest.fixture(scope="session")
def program_urls(server_settings: Settings) -> dict[Program, str]:
    """The database's URL for each program, whose role has that program's rights only."""
    owner = make_url(server_settings.database_url)
    urls = {
        program: owner.set(username=f"{owner.database}_{program}", password=f"{program}'s").render_as_string(False)
        for program in PROGRAMS
    }
    grant_rights(server_settings, urls)
    return urls


def grant_rights(settings: Settings, urls: dict[Program, str]) -> None:
    """Give the users of the URLs their rights; needed again after tables were dropped and made anew."""
    engine = make_engine(settings.database_url, pool_size=1)
    with unit_of_work(engine)() as session:
        roles.grant(session, urls)
    engine.dispose()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint: random weights, 64-pixel images."""
    from tests.support.tiny_checkpoint import write_checkpoint

    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return folder


@pytest.fixture
def settings(server_settings: Settings, tmp_path: Path) -> Settings:
    """`server_settings` with a data folder for this test."""
    return server_settings.model_copy(update={"data_dir": tmp_path / "data"})


@pytest.fixture(scope="session")
def engines() -> Iterator[Callable[[str], Engine]]:
    """One engine for each database: a new connection would take longer than many tests."""
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
    """The unit of work: one transaction for each `with begin() as session:`."""
    return unit_of_work(engine)


@pytest.fixture
def role_begin(
    begin: UnitOfWork, engines: Callable[[str], Engine], program_urls: dict[Program, str]
) -> Callable[[Program], UnitOfWork]:
    """`role_begin("webhooks")`: the unit of work under that program's database role."""
    return lambda program: unit_of_work(engines(program_urls[program]))


@pytest.fixture
def dispatcher_begin(role_begin: Callable[[Program], UnitOfWork]) -> UnitOfWork:
    """The unit of work of a dispatcher."""
    return role_begin("dispatcher")


@pytest.fixture(scope="session")
def storage(server_settings: Settings) -> Storage:
    """The object store. It may still have objects of other tests, under other projects."""
    return Storage(server_settings)


@pytest.fixture
def project(begin: UnitOfWork) -> Project:
    """An empty project."""
    with begin() as session:
        return projects.create(session, "test")
