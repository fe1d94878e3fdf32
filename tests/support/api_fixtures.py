"""Fixtures: the application with real servers, clients of two projects, and a worker without a GPU."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import Engine, func, select

from api.app import make_app
from api.server import server_options
from ledger import attempts, keys, projects
from ledger.artefacts import NewArtefact
from ledger.audit import audit
from ledger.database import UnitOfWork
from ledger.models import METADATA, Project, Upload
from ledger.partial_results import PartialResults
from ledger.roles import Program
from ledger.settings import Settings
from ledger.storage import Storage, attempt_prefix
from tests.support.uploads import png
from worker.fetch import fetch

NewKey = Callable[..., str]
Refuse = Callable[..., dict[str, Any]]


@pytest.fixture
def new_key(begin: UnitOfWork, settings: Settings) -> NewKey:
    """`new_key(project, scope=...)`: the text of a new key, by default one with all rights."""

    def create(project: Project, *, scope: keys.Scope = "operator", **options: Any) -> str:
        pepper = settings.key_pepper.get_secret_value()
        with begin() as session:
            return keys.create(session, pepper, project.id, "test", scope=scope, **options)[1]

    return create


METRICS_TOKEN = "the token of the metrics"


@pytest.fixture(scope="session")
def app(server_settings: Settings, program_urls: dict[Program, str]) -> Iterator[FastAPI]:
    """The application under its database role, open for all tests; the fixture `engine` empties the tables."""
    changes = {"database_url": program_urls["api"], "metrics_token": SecretStr(METRICS_TOKEN)}
    opened = make_app(server_settings.model_copy(update=changes))
    with TestClient(opened):
        yield opened


@pytest.fixture
def api(app: FastAPI, project: Project, new_key: NewKey) -> TestClient:
    """A client with a key of `project`."""
    return TestClient(app, headers={"Authorization": f"Bearer {new_key(project)}"})


@pytest.fixture
def stranger(api: TestClient, app: FastAPI, begin: UnitOfWork, new_key: NewKey) -> TestClient:
    """A client of the same application with a key of another project."""
    with begin() as session:
        other = projects.create(session, "other")
    return TestClient(app, headers={"Authorization": f"Bearer {new_key(other)}"})


@pytest.fixture
def upload(api: TestClient) -> Callable[..., str]:
    """`upload("red", (96, 96))`: the id of a new image."""

    def send(*arguments: Any) -> str:
        return str(api.post("/v1/images", content=png(*arguments)).raise_for_status().json()["id"])

    return send


@pytest.fixture
def fetcher(begin: UnitOfWork, storage: Storage, settings: Settings) -> Iterator[None]:
    """A thread that fetches as a worker does, without the broker."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            with begin() as session:
                waiting = session.scalars(select(Upload.id).where(Upload.size == 0)).all()
            for upload_id in waiting:
                fetch(begin, storage, upload_id, allow_private=True, max_bytes=settings.max_upload_bytes)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def subject(api: TestClient, upload: Callable[..., str]) -> dict[str, Any]:
    """A dog with three references."""
    references = [upload(color) for color in ("red", "green", "blue")]
    payload = {"name": "Rex", "class_noun": "dog", "references": references}
    body: dict[str, Any] = api.post("/v1/subjects", json=payload).raise_for_status().json()
    return body


@pytest.fixture
def work(begin: UnitOfWork, storage: Storage) -> Callable[..., None]:
    """`work(job_id)`: claims a job, stores files and finishes it, as a worker does."""

    def run(job_id: str, files: list[tuple[str, dict[str, Any]]] = [("adapter", {}), ("manifest", {})]) -> None:  # noqa: B006
        with begin() as session:
            claim = attempts.claim(session, job_id, "worker-1", lease_seconds=60)
            assert claim is not None
        prefix = attempt_prefix(claim.project_id, job_id, claim.epoch)
        made = [
            NewArtefact(
                role,
                f"{role}.bin",
                "image/png",
                storage.put(prefix, f"{role}-{place}.bin", role.encode(), "image/png"),
                details,
            )
            for place, (role, details) in enumerate(files)
        ]
        manifest = {"base": "test"} if claim.kind == "prior" else None
        with begin() as session:
            if claim.kind == "edit":
                assert attempts.keep(session, claim, PartialResults({}, {1: made}), storage)
            assert attempts.finish(
                session,
                claim,
                made,
                resolved={"seed": 1},
                metrics={"training": 2.5},
                manifest=manifest,
                storage=storage,
            )

    return run


@pytest.fixture
def prior(api: TestClient, subject: dict[str, Any], work: Callable[..., None]) -> str:
    """A ready prior of `subject`."""
    job = api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status().json()
    work(job["id"])
    return str(job["prior_id"])


@pytest.fixture
def audited(begin: UnitOfWork, storage: Storage, project: Project) -> Iterator[None]:
    """After the test the audit finds nothing."""
    yield
    hour = timedelta(hours=1)
    assert audit(begin, storage, patience=hour, key_lifetime=24 * hour) == []


@pytest.fixture
def refused(begin: UnitOfWork, storage: Storage, project: Project) -> Refuse:
    """`refused(status, code, api.post, path, ...)`: checks that nothing was stored, and returns the problem."""

    def refuse(status: int, code: str, call: Callable[..., Any], path: str, **request: Any) -> dict[str, Any]:
        before = _stored(begin, storage, project)
        answer = call(path, **request)
        assert _stored(begin, storage, project) == before
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        body: dict[str, Any] = answer.json()
        assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
        assert body["request_id"] == answer.headers["x-request-id"]
        assert body["type"] == f"urn:lipe:problem:{code}"
        assert len(body["detail"]) > 10
        return body

    return refuse


def _stored(begin: UnitOfWork, storage: Storage, project: Project) -> tuple[dict[str, int], list[str]]:
    """The number of rows of each table, and the keys of the project's objects."""
    counts = select(
        *(
            select(func.count()).select_from(table).scalar_subquery().label(name)
            for name, table in METADATA.tables.items()
        )
    )
    with begin() as session:
        rows = dict(session.execute(counts).mappings().one())
    return rows, sorted(storage.keys(f"projects/{project.id}/"))


@pytest.fixture(scope="session")
def served_app(server_settings: Settings) -> FastAPI:
    """The application behind `uvicorn_url`."""
    return make_app(server_settings)


@pytest.fixture(scope="session")
def uvicorn_url(server_settings: Settings, served_app: FastAPI) -> Iterator[str]:
    """The URL of a real uvicorn server, open for all tests."""
    options = server_options(server_settings)
    uvicorn_server = uvicorn.Server(uvicorn.Config(served_app, port=0, log_level="warning", **options))
    thread = threading.Thread(target=uvicorn_server.run)
    thread.start()
    while not uvicorn_server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    port = uvicorn_server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    uvicorn_server.should_exit = True
    thread.join()


@pytest.fixture
def server(uvicorn_url: str, engine: Engine) -> str:
    """The URL of the server, its tables empty."""
    return uvicorn_url
