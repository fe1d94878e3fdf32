"""Real processes over the embedded servers; at the end of each test the audit checks the tables and the storage."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ledger import broker_address, keys
from ledger.audit import audit
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.roles import Program as Role
from ledger.settings import Settings
from ledger.storage import Storage
from tests.reliability import programs
from tests.reliability.limits import LEASE_SECONDS, RunAudit, Start
from tests.reliability.programs import Body, Program

AUDIT_PATIENCE = timedelta(seconds=15)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """No base model; a lost notification is repeated within a second."""
    settings.data_dir.mkdir()
    return settings.model_copy(
        update={"base_model": "none", "device": "cpu", "lease_seconds": LEASE_SECONDS, "stranded_seconds": 0.5}
    )


@pytest.fixture
def start(
    settings: Settings, server_settings: Settings, program_urls: dict[Role, str], engine: Engine, broker: None,
    tmp_path: Path,
) -> Iterator[Start]:  # fmt: skip
    """`start(worker(["priors"]))` runs a program under its database role, on a server that has the roles.

    The programs that still run at the end are killed.
    """
    running: list[Program] = []
    has_roles = settings.database_url == server_settings.database_url

    def run(body: Body) -> Program:
        url = program_urls[programs.role(body)] if has_roles else settings.database_url
        own = settings.model_copy(update={"database_url": url})
        running.append(programs.start(body, tmp_path / f"{len(running)}.log", own))
        return running[-1]

    yield run
    for program in running:
        program.kill()


@pytest.fixture
def broker(settings: Settings) -> None:
    """Delete the messages of other tests."""
    with broker_address.connect(settings.broker_url) as broker:
        broker.flushall()


@pytest.fixture
def run_audit(begin: UnitOfWork, storage: Storage) -> RunAudit:
    """`run_audit()` asserts that all ten invariants hold."""

    def check() -> None:
        found = audit(begin, storage, patience=AUDIT_PATIENCE, key_lifetime=timedelta(hours=24))
        assert found == []

    return check


@pytest.fixture
def key(begin: UnitOfWork, project: Project, settings: Settings) -> str:
    """An API key of the project."""
    with begin() as session:
        return keys.create(session, settings.key_pepper.get_secret_value(), project.id, "test", scope="write")[1]
