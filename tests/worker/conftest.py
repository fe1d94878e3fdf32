"""The context of a worker process on the tiny checkpoint, without Celery, and a subject."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from ledger.attempts import Control
from ledger.database import UnitOfWork
from ledger.models import Project, Subject
from ledger.roles import Program
from ledger.settings import Settings
from ledger.storage import Storage
from tests.support.factories import make_subject
from tests.support.tiny_klein import write_klein
from worker.attempt import STOPS, Attempt
from worker.context import WorkerContext, make_context
from worker.gpu import Gpu


@pytest.fixture(scope="session")
def gpu(checkpoint: Path) -> Gpu:
    """The tiny checkpoint, loaded once."""
    return Gpu(str(checkpoint), device="cpu")


@pytest.fixture(scope="session")
def klein_gpu(tmp_path_factory: pytest.TempPathFactory) -> Gpu:
    """A tiny klein, loaded once."""
    folder = tmp_path_factory.mktemp("klein")
    write_klein(folder)
    return Gpu(str(folder), device="cpu")


@pytest.fixture
def worker_engine(engine: Engine, engines: Callable[[str], Engine], program_urls: dict[Program, str]) -> Engine:
    """An engine under the workers' database role, over the same empty tables."""
    return engines(program_urls["worker"])


@pytest.fixture
def sender_begin(role_begin: Callable[[Program], UnitOfWork]) -> UnitOfWork:
    """The unit of work of a worker of webhooks."""
    return role_begin("webhooks")


@pytest.fixture
def context(settings: Settings, worker_engine: Engine, storage: Storage, gpu: Gpu) -> WorkerContext:
    """A worker process that is not draining."""
    return replace(make_context(settings, worker_engine, lambda: False), storage=storage, gpu=gpu)


@pytest.fixture
def klein(context: WorkerContext, klein_gpu: Gpu, tmp_path: Path) -> WorkerContext:
    """A worker of the tiny klein on another machine."""
    klein_gpu.base_model()
    settings = context.settings.model_copy(update={"data_dir": tmp_path / "other"})
    return replace(context, name="klein:1", gpu=klein_gpu, settings=settings)


@pytest.fixture
def reports_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each report is in the database when it returns, and raises the database's answer.

    The tiny model does all its steps in the time between two renewals of a lease.
    """
    report = Attempt.report

    def report_and_renew(attempt: Attempt, *progress: Any, **details: Any) -> None:
        report(attempt, *progress, **details)
        attempt._renew()
        if attempt._control is not Control.GO_ON:
            raise STOPS[attempt._control]

    monkeypatch.setattr(Attempt, "report", report_and_renew)


@pytest.fixture
def subject(begin: UnitOfWork, storage: Storage, project: Project) -> Subject:
    """A dog."""
    return make_subject(begin, storage, project)
