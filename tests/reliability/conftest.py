"""Real processes over the embedded servers, with short leases; the audit judges what they leave."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine

from ledger import keys
from ledger.audit import audit
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from ledger.storage import Storage
from tests.reliability import programs
from tests.reliability.limits import LEASE_SECONDS, Audited, Start
from tests.reliability.programs import Body, Program

PATIENCE = timedelta(seconds=15)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A lost worker is noticed within seconds."""
    settings.data_dir.mkdir()
    return settings.model_copy(
        update={"base_model": "none", "device": "cpu", "lease_seconds": LEASE_SECONDS, "stranded_seconds": 0.5}
    )


@pytest.fixture
def start(settings: Settings, engine: Engine, broker: None, tmp_path: Path) -> Iterator[Start]:
    """`start(worker(["priors"]))` runs a program; the test's end kills what still runs."""
    running: list[Program] = []

    def run(body: Body) -> Program:
        running.append(programs.start(body, tmp_path / f"{len(running)}.log", settings))
        return running[-1]

    yield run
    for program in running:
        program.kill()


@pytest.fixture
def broker(settings: Settings) -> None:
    """Without the messages of other tests."""
    with Redis.from_url(settings.broker_url) as broker:
        broker.flushall()


@pytest.fixture
def audited(begin: UnitOfWork, storage: Storage) -> Audited:
    """All nine invariants hold."""

    def judge() -> None:
        found = audit(begin, storage, patience=PATIENCE, key_lifetime=timedelta(hours=24))
        assert found == []

    return judge


@pytest.fixture
def key(begin: UnitOfWork, project: Project, settings: Settings) -> str:
    """An API key of the project."""
    with begin() as session:
        return keys.create(session, settings.key_pepper.get_secret_value(), project.id, "test")[1]
