"""The service under test: real servers, `lipe api`, `lipe dispatcher`, the baseline, and an edit to submit.

`benchmarks.paced_worker` runs the jobs, so that no figure depends on the speed of a model.
"""

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from benchmarks.load import Target
from cli.embedded import postgres, s3, valkey
from cli.embedded.process import free_port, running
from cli.embedded.up import lipe_command
from ledger import images, keys, priors, projects, subjects
from ledger.database import UnitOfWork, make_engine, unit_of_work
from ledger.models import Image as ImageRow
from ledger.models import new_id
from ledger.schema import migrate
from ledger.settings import Settings
from ledger.storage import Storage, image_prefix

ROOT = Path(__file__).resolve().parents[1]
MANY = 10**6
"""A limit that no benchmark reaches."""
MANY_JOBS: Mapping[str, float] = {"max_queued_jobs": MANY, "rate_per_key": MANY, "rate_per_address": MANY}


@dataclass(frozen=True)
class Stack:
    """The running servers and APIs. `edit` is the request for an edit with a ready prior, `baseline` that of the
    baseline endpoint."""

    folder: Path
    settings: Settings
    engine: Engine
    begin: UnitOfWork
    project_id: str
    edit: Target
    baseline: Target

    def add_project(self, name: str) -> Target:
        """An edit to submit of another project, with a key and a ready prior of its own."""
        return _add_project(self.begin, self.settings, self.edit.url, name)[1]

    @contextmanager
    def program(self, name: str, *argv: str, url: str = "") -> Iterator[None]:
        """Run a program with the service's settings while the block runs. With a `url`, wait until it answers."""
        variables = {
            **_environment(self.settings),
            "BASELINE_DATABASE_URL": self.settings.database_url,
            "BASELINE_BROKER_URL": self.settings.broker_url,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            "CUDA_VISIBLE_DEVICES": "",
        }
        folder = self.folder / name
        with running(argv, folder, is_ready=lambda: not url or _answers(url), environment=variables, cwd=ROOT):
            yield


@contextmanager
def run_stack(
    folder: Path, database_url: str | None = None, broker_url: str | None = None, *,
    limits: Mapping[str, float] = MANY_JOBS,
) -> Iterator[Stack]:  # fmt: skip
    """Run the stack while the block runs, with embedded servers where no URL is given.

    A given database must be empty, and as durable as in production. `limits` are settings that differ from the
    defaults.
    """
    with ExitStack() as exit_stack:
        store = exit_stack.enter_context(s3.serve(folder / "s3"))
        settings = Settings(
            database_url=database_url or exit_stack.enter_context(postgres.serve(folder / "postgres")),
            broker_url=broker_url or exit_stack.enter_context(valkey.serve(folder / "valkey")),
            s3_endpoint_url=store.endpoint_url, s3_bucket=store.bucket, s3_access_key_id=store.access_key_id,
            s3_secret_access_key=store.secret_access_key, key_pepper="a pepper for benchmarks only",
            base_model="none", device="cpu", data_dir=folder / "data",
        )  # fmt: skip
        settings = settings.model_copy(update=dict(limits))
        settings.data_dir.mkdir()
        migrate(settings)
        engine = make_engine(settings.database_url)
        exit_stack.callback(engine.dispose)
        stack = _with_targets(folder, settings, engine)
        programs = (("api", stack.edit, lipe_command("api")), ("baseline", stack.baseline, _baseline_command()))
        for name, target, argv in programs:
            port = str(httpx.URL(target.url).port)
            exit_stack.enter_context(stack.program(name, *argv, "--port", port, url=target.url))
        exit_stack.enter_context(stack.program("dispatcher", *lipe_command("dispatcher")))
        yield stack


def _with_targets(folder: Path, settings: Settings, engine: Engine) -> Stack:
    """The stack with its project."""
    begin, port = unit_of_work(engine), free_port()
    project_id, edit = _add_project(begin, settings, f"http://127.0.0.1:{port}/v1/edits", "benchmark")
    baseline = Target(f"http://127.0.0.1:{free_port()}/edits", {}, edit.body)
    return Stack(folder, settings, engine, begin, project_id, edit, baseline)


def _add_project(begin: UnitOfWork, settings: Settings, url: str, name: str) -> tuple[str, Target]:
    """Create a project with a subject, an image and a ready prior. Returns its id, and an edit to submit."""
    storage = Storage(settings)
    with begin() as session:
        project = projects.create(session, name)
        key = keys.create(session, settings.key_pepper.get_secret_value(), project.id, name, scope="write")[1]
        references = [_put_image(session, storage, project.id, level) for level in (40, 120, 200)]
        subject = subjects.create(
            session, project.id, name="Rex", class_noun="dog", token="sks",  # noqa: S106 - a word of prompts
            images=references, captions=["a dog sitting", None, "a photo of sks dog jumping"],
        )  # fmt: skip
        image = _put_image(session, storage, project.id, 5)
        adapter = storage.put(f"projects/{project.id}/jobs/none/1/", "adapter.safetensors", b"an adapter", "text/plain")
        prior = priors.create(session, project.id, subject.id)
        priors.mark_ready(session, prior.id, manifest={}, adapter_key=adapter.key, adapter_sha256=adapter.sha256)
        body = {"subject_id": subject.id, "image_id": image.id, "prompt": "a photo of sks dog jumping"}
        return project.id, Target(url, {"Authorization": f"Bearer {key}"}, body)


def _put_image(session: Session, storage: Storage, project_id: str, level: int) -> ImageRow:
    """Store a grey image of 64 x 64 pixels."""
    content = io.BytesIO()
    Image.new("RGB", (64, 64), (level, level, level)).save(content, "PNG")
    image_id = new_id("img")
    stored = storage.put(image_prefix(project_id, image_id), "image.png", content.getvalue(), "image/png")
    return images.add(session, project_id, image_id, stored, width=64, height=64)


def _environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables."""
    return {
        f"LIPE_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in settings.model_dump().items()
    }


def _baseline_command() -> list[str]:
    """The baseline under the same server as `lipe api`."""
    return [sys.executable, "-m", "uvicorn", "benchmarks.baseline_api:make_app", "--factory", "--no-server-header"]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.TransportError:
        return False
