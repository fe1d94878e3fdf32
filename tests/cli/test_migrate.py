"""`lipe migrate` and CORS: a storage without such rules is a warning, a wrong origin a refusal."""

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from ledger.settings import Settings

ORIGIN = "https://app.example.com"

pytestmark = pytest.mark.usefixtures("settings_environment")


def test_a_storage_without_cors_rules_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_CORS_ORIGINS", ORIGIN)
    result = run()
    assert result.exit_code == 0, result.output
    assert f"Web pages of {ORIGIN} may be unable to fetch files" in result.stderr
    assert "set LIPE_PUBLIC_URL" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_nothing_is_said_if_nothing_is_wrong(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run().output == ""
    monkeypatch.setenv("LIPE_CORS_ORIGINS", ORIGIN)
    monkeypatch.setenv("LIPE_PUBLIC_URL", "https://lipe.example.com")  # the API serves the files
    assert run().output == ""


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (
            "LIPE_CORS_ORIGINS",
            "*",
            "'*' is no origin: list each as scheme, host and port",
        ),
        ("LIPE_PUBLIC_URL", "lipe.example.com", "must be a URL without query"),
    ],
)
def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str) -> None:
    monkeypatch.setenv(name, value)
    result = run()
    assert result.exit_code == 2
    assert f"{name}: Value error, {reason}" in result.stderr


def run() -> Result:
    return CliRunner().invoke(app, ["migrate"], env={"COLUMNS": "60"})
