"""`lipe keys`: a new key authenticates, a revoked key does not."""

from datetime import UTC, datetime, timedelta

import pytest
import typer
from typer.testing import CliRunner

from cli.keys import parse_expiry
from cli.main import app
from ledger import keys
from ledger.database import UnitOfWork, now
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


def test_a_key_has_the_scope_and_the_expiry_of_the_command(
    begin: UnitOfWork, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = run("keys", "create", "--name", "viewer", "--scope", "read", "--expires", "90d")
    token, facts = created.splitlines()
    assert f"id {token.split('_')[1]}, scope read, project default, until " in facts
    with begin() as session:
        key = keys.authenticate(session, settings.key_pepper.get_secret_value(), token)
        assert key is not None
        assert key.scopes == ["read"]
        assert key.expires_at is not None
        assert abs(key.expires_at - now(session) - timedelta(days=90)) < timedelta(minutes=5)
    monkeypatch.setenv("COLUMNS", "200")
    row = [cell.strip() for cell in run("keys", "list").splitlines()[-2].split("│")[1:-1]]
    assert row[2] == "read"
    assert row[4] != ""  # it was used above
    assert row[-1] == "valid"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12h", datetime(2027, 1, 1, 0, tzinfo=UTC)),
        ("2d", datetime(2027, 1, 2, 12, tzinfo=UTC)),
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:00:00+01:00", datetime(2027, 1, 31, 11, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_period_or_a_time(text: str, expected: datetime) -> None:
    assert parse_expiry(text, datetime(2026, 12, 31, 12, tzinfo=UTC)) == expected


@pytest.mark.parametrize("text", ["0h", "2026-12-31", "1w", "tomorrow", "99999d9", "-1d"])
def test_a_wrong_expiry_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"--expires {text}"):
        parse_expiry(text, datetime(2026, 12, 31, 12, tzinfo=UTC))


def test_a_wrong_scope_creates_no_key(begin: UnitOfWork) -> None:
    result = CliRunner().invoke(app, ["keys", "create", "--name", "mine", "--scope", "all"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "'read', 'write', 'admin'" in result.output
