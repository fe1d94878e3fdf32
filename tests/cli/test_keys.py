"""`lipe keys`: a new key authenticates, a revoked key does not."""

import pytest
from typer.testing import CliRunner

from cli.main import app
from ledger import keys
from ledger.database import UnitOfWork
from ledger.settings import Settings

pytestmark = pytest.mark.usefixtures("settings_environment")


def test_a_key_is_created_listed_and_revoked(begin: UnitOfWork, settings: Settings) -> None:
    token = run("keys", "create", "--name", "mine", "--quiet").strip()
    with begin() as session:
        key = keys.authenticate(session, settings.key_pepper.get_secret_value(), token)
    assert key is not None
    listed = run("keys", "list")
    assert key.id in listed
    assert "mine" in listed
    assert token not in listed
    run("keys", "revoke", key.id)
    with begin() as session:
        assert keys.authenticate(session, settings.key_pepper.get_secret_value(), token) is None


@pytest.mark.parametrize("columns", ["20", "60", "200"])
def test_the_listed_id_is_the_one_to_revoke(
    columns: str, begin: UnitOfWork, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    token = run("keys", "create", "--name", "a key with a long name", "--quiet").strip()
    identifier = token.split("_")[1]
    listed = [cell.strip() for line in run("keys", "list").splitlines() for cell in line.split("│")]
    assert identifier in listed
    run("keys", "revoke", identifier)
    with begin() as session:
        assert keys.authenticate(session, settings.key_pepper.get_secret_value(), token) is None


def test_a_project_is_created_once(begin: UnitOfWork) -> None:
    for _ in range(2):
        run("keys", "create", "--name", "mine", "--project", "shop")
    assert run("keys", "list", "--project", "shop").count("mine") == 2


@pytest.mark.parametrize("arguments", [("keys", "list", "--project", "none"), ("keys", "revoke", "none")])
def test_an_unknown_project_or_key_is_refused(begin: UnitOfWork, arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output
