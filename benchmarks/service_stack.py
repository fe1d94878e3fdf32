"""The service for the benchmark: real servers, `lipe api` and `lipe dispatcher`, and an order that can be sent.

Jobs are made by the deterministic engine of tests/reliability (a step takes 20 ms): how fast a model is, is not asked.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import Engine

from benchmarks.load import Target
from cli.embedded import postgres, s3, valkey
from cli.embedded.process import free_port, running
from cli.embedded.up import lipe_command
from ledger import keys, priors, projects
from ledger.database import UnitOfWork, make_engine, migrate, unit_of_work
from ledger.settings import Settings
from ledger.storage import Storage
from tests.reliability.programs import ROOT, environment
from tests.support.factories import make_subject, put_image

MANY = 10**6
"""A quota that no benchmark reaches."""


@dataclass(frozen=True)
class Stack:
    """Running servers and API. The edit that `edit` asks for is one of a ready prior."""

    folder: Path
    settings: Settings
    engine: Engine
    begin: UnitOfWork
    project_id: str
    edit: Target
    bare: Target

    @contextmanager
    def program(self, name: str, *argv: str, url: str = "") -> Iterator[None]:
        """A program with the service's settings while the block runs; one with a `url` is ready when that answers."""
        bare = {"BARE_DATABASE_URL": self.settings.database_url, "BARE_BROKER_URL": self.settings.broker_url}
        variables = {**environment(self.settings), **bare, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
        folder = self.folder / name
        with running(argv, folder, is_ready=lambda: not url or _answers(url), environment=variables, cwd=ROOT):
            yield


@contextmanager
def stack(folder: Path, database_url: str | None = None, broker_url: str | None = None) -> Iterator[Stack]:
    """Start what is not given by a URL. A given database must be empty, and durable as production's is."""
    with ExitStack() as life:
        store = life.enter_context(s3.serve(folder / "s3"))
        settings = Settings(
            database_url=database_url or life.enter_context(postgres.serve(folder / "postgres")),
            broker_url=broker_url or life.enter_context(valkey.serve(folder / "valkey")),
            s3_endpoint_url=store.endpoint_url, s3_bucket=store.bucket, s3_access_key_id=store.access_key_id,
            s3_secret_access_key=store.secret_access_key, key_pepper="a pepper for benchmarks only",
            base_model="none", device="cpu", data_dir=folder / "data", max_queued_jobs=MANY,
        )  # fmt: skip
        settings.data_dir.mkdir()
        migrate(settings)
        engine = make_engine(settings.database_url)
        life.callback(engine.dispose)
        made = _with_order(folder, settings, engine)
        for name, target, argv in (("api", made.edit, lipe_command("api")), ("bare", made.bare, _uvicorn())):
            port = str(httpx.URL(target.url).port)
            life.enter_context(made.program(name, *argv, "--port", port, url=target.url))
        life.enter_context(made.program("dispatcher", *lipe_command("dispatcher")))
        yield made


def _with_order(folder: Path, settings: Settings, engine: Engine) -> Stack:
    begin, storage = unit_of_work(engine), Storage(settings)
    with begin() as session:
        project = projects.create(session, "benchmark")
        key = keys.create(session, settings.key_pepper.get_secret_value(), project.id, "benchmark")[1]
    subject = make_subject(begin, storage, project)
    image = put_image(begin, storage, project, 5)
    adapter = storage.put(f"projects/{project.id}/jobs/none/1/", "adapter.safetensors", b"an adapter", "text/plain")
    with begin() as session:
        prior = priors.create(session, project.id, subject.id)
        priors.mark_ready(session, prior.id, manifest={}, adapter_key=adapter.key, adapter_sha256=adapter.sha256)
    asked = {"subject_id": subject.id, "image_id": image.id, "prompt": "a photo of sks dog jumping"}
    edit = Target(f"http://127.0.0.1:{free_port()}/v1/edits", {"Authorization": f"Bearer {key}"}, asked)
    bare = Target(f"http://127.0.0.1:{free_port()}/orders", {}, asked)
    return Stack(folder, settings, engine, begin, project.id, edit, bare)


def _uvicorn() -> list[str]:
    """Served as `lipe api` is."""
    return [sys.executable, "-m", "uvicorn", "benchmarks.baseline_api:make_app", "--factory", "--no-server-header"]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.TransportError:
        return False
