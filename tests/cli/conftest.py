"""Fixtures of the command's tests: the environment of its commands, and a client to check what they did."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from ledger.models import Project
from ledger.settings import Settings
from lipe_client import Client, retries
from tests.support.api_fixtures import NewKey


@pytest.fixture
def service_environment(server: str, project: Project, new_key: NewKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a command that uses a running service: its URL and a key of `project`."""
    monkeypatch.setenv("LIPE_URL", server)
    monkeypatch.setenv("LIPE_API_KEY", new_key(project))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(retries, "FIRST_DELAY_SECONDS", 0.01)


@pytest.fixture
def settings_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a command that reads the service's settings."""
    for name, value in settings.model_dump().items():
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        monkeypatch.setenv(f"LIPE_{name.upper()}", text)


@pytest.fixture
def lipe(server: str, project: Project, new_key: NewKey) -> Iterator[Client]:
    """A client of the same project."""
    with Client(server, new_key(project)) as client:
        yield client
