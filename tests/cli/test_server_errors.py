"""A mistake in the settings is one line in place of a traceback."""

import pytest
from typer.testing import CliRunner

from cli.main import app
from ledger.settings import Settings


@pytest.mark.parametrize("command", [("keys", "list"), ("keys", "create", "--name", "a"), ("migrate",), ("audit",)])
def test_a_command_without_settings_says_what_to_do(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LIPE_{name.upper()}", raising=False)
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("wrong or missing settings: LIPE_DATABASE_URL; LIPE_BROKER_URL; ")
    assert "data/settings.sh" in line


@pytest.mark.usefixtures("settings_environment")
@pytest.mark.parametrize("command", [("keys", "list"), ("migrate",)])
def test_a_command_without_a_database_says_so(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_DATABASE_URL", "postgresql://lipe@127.0.0.1:9/lipe")
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("the database does not answer: ")
