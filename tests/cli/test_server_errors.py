"""A mistake in the settings is one line in place of a traceback."""

import pytest
import typer
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import make_url
from sqlalchemy.exc import ProgrammingError
from typer.testing import CliRunner

from cli.main import app
from cli.server_errors import server_errors
from ledger.settings import Settings


@pytest.mark.parametrize("command", [("keys", "list"), ("keys", "create", "--name", "a"), ("migrate",), ("audit",)])
def test_a_command_without_settings_says_what_to_do(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LIPE_{name.upper()}", raising=False)
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("wrong or missing settings: LIPE_DATABASE_URL; LIPE_BROKER_URL; ")
    assert "for a running `lipe up`, run `. data/settings.sh`" in line
    assert "for servers of your own, set them as .env.example shows" in line


@pytest.mark.usefixtures("settings_environment")
@pytest.mark.parametrize("command", [("keys", "list"), ("migrate",)])
def test_a_command_without_a_database_says_so(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_DATABASE_URL", "postgresql://lipe@127.0.0.1:9/lipe")
    assert refusal(*command).startswith(
        "the database does not answer: start `lipe up`, or read `lipe logs postgres` if it runs; "
        "for servers of your own, start the database or correct LIPE_DATABASE_URL (connection failed"
    )


@pytest.mark.usefixtures("settings_environment")
def test_a_database_without_tables_says_what_to_do(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = make_url(settings.database_url).set(database="template1").render_as_string(hide_password=False)
    monkeypatch.setenv("LIPE_DATABASE_URL", empty)
    assert refusal("keys", "list").startswith(
        "the database lacks this version's tables: stop `lipe up` and start it again, which adds them; "
        "for a database of your own, run `lipe migrate` (relation"
    )


def test_a_user_without_rights_is_not_sent_to_migrate(capsys: pytest.CaptureFixture[str]) -> None:
    denied = ProgrammingError("SELECT", {}, InsufficientPrivilege("permission denied for table jobs"))
    with pytest.raises(typer.Exit), server_errors():
        raise denied
    assert capsys.readouterr().err == (
        "the database refuses a statement: give the user of LIPE_DATABASE_URL the right to read and change all tables "
        "of LIPE (permission denied for table jobs)\n"
    )


@pytest.mark.usefixtures("settings_environment")
def test_a_command_without_a_storage_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    assert refusal("migrate").startswith(
        "the storage does not answer: start `lipe up`, or read `lipe logs s3` if it runs; "
        "for servers of your own, start the storage or correct the LIPE_S3_... settings (cannot "
    )


def refusal(*command: str) -> str:
    """The one line of a command that ends with status 2."""
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.strip().splitlines()
    return line
