"""The `lipe` command itself: its version, and ports that do not exist."""

from importlib.metadata import version

import pytest
from typer.testing import CliRunner, Result

from cli.main import app


def test_the_version_is_that_of_the_package() -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"lipe {version('lipe')}\n")


def test_no_command_shows_the_help() -> None:
    assert "personalised, non-rigid image editing" in run().output


@pytest.mark.parametrize("command", ["up", "api"])
@pytest.mark.parametrize("port", ["80000", "-1"])
def test_a_port_that_does_not_exist_is_refused(command: str, port: str) -> None:
    result = run(command, "--port", port)
    assert result.exit_code == 2
    assert "--port" in result.output


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
