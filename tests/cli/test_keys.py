"""`lipe keys`: what it makes authenticates, what it revokes does not."""

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from cli.main import app
from ledger import keys
from ledger.database import UnitOfWork
from ledger.settings import Settings


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's settings as the command finds them."""
    for name, value in settings.model_dump().items():
        shown = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        monkeypatch.setenv(f"LIPE_{name.upper()}", shown)


def test_a_key_is_made_listed_and_revoked(begin: UnitOfWork, settings: Settings) -> None:
    token = run("keys", "create", "--name", "mine", "--quiet").strip()
    with begin() as session:
        key = keys.authenticate(session, settings.key_pepper.get_secret_value(), token)
    listed = run("keys", "list")
    assert key.id[:8] in listed
    assert "mine" in listed
    assert token not in listed
    run("keys", "revoke", key.id)
    with begin() as session:
        assert keys.authenticate(session, settings.key_pepper.get_secret_value(), token) is None


def test_one_project_of_a_name_is_made_once(begin: UnitOfWork) -> None:
    for _ in range(2):
        run("keys", "create", "--name", "mine", "--project", "shop")
    assert run("keys", "list", "--project", "shop").count("mine") == 2


@pytest.mark.parametrize("arguments", [("keys", "list", "--project", "none"), ("keys", "revoke", "none")])
def test_what_is_not_there_is_refused(begin: UnitOfWork, arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output
