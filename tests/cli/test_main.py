"""The `lipe` command itself: its version, and the mistakes that `lipe up` answers with one line."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from cli.embedded.access_key import AccessKey
from cli.embedded.announce import announce
from cli.embedded.up import Service
from cli.main import STOP_SIGNALS, app
from ledger.version import VERSION
from tests.support.checkout import PYTHON_PATH
from tests.support.tiny_klein import write_klein


@pytest.fixture
def signals() -> Iterator[None]:
    """Restores the signal handlers that `lipe up` replaces."""
    handlers = [signal.getsignal(number) for number in STOP_SIGNALS]
    yield
    for number, handler in zip(STOP_SIGNALS, handlers, strict=True):
        signal.signal(number, handler)


def test_the_version_is_printed() -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"lipe {VERSION}\n")


@pytest.mark.parametrize("arguments", [["doctor"], ["check-model", "folder"]])
def test_a_command_of_the_workers_says_where_to_run_it(arguments: list[str]) -> None:
    program = "import sys; sys.modules['lipe_core'] = None; from cli.main import app; app()"  # the image of the API
    command = [sys.executable, "-c", program, *arguments]
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": PYTHON_PATH}, capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr == (
        "lipe_core is not installed here: run this where the workers run, or install lipe-server[worker]\n"
    )


@pytest.mark.slow
def test_the_libraries_of_the_networks_print_no_warnings() -> None:
    program = "from cli.main import app; app()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRANSFORMERS_")}
    command = [sys.executable, "-c", program, "doctor"]
    ran = subprocess.run(command, env={**environment, "PYTHONPATH": PYTHON_PATH}, capture_output=True, text=True)
    assert ("base model" in ran.stdout, ran.stderr) == (True, "")


def test_no_command_shows_the_help() -> None:
    assert "personalised, non-rigid image editing" in run().output


@pytest.mark.parametrize("command", ["up", "api"])
@pytest.mark.parametrize("port", ["80000", "-1"])
def test_a_port_that_does_not_exist_is_refused(command: str, port: str) -> None:
    result = run(command, "--port", port)
    assert result.exit_code == 2
    assert "--port" in result.output


@pytest.mark.usefixtures("signals")
def test_up_refuses_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run("up", "--data", tmp_path / "data", "--port", port)
    assert_refused(result, f"port {port} is in use by another program or another LIPE: choose another with --port")


@pytest.mark.usefixtures("signals")
def test_up_takes_a_distilled_klein_by_force_alone_and_warns(tmp_path: Path) -> None:
    write_klein(tmp_path / "klein", is_distilled=True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        options = ("up", "--data", tmp_path / "data", "--port", port, "--base-model", tmp_path / "klein")
        refused, forced = run(*options), run(*options, "--force")
    assert_refused(refused, f"the base model {tmp_path / 'klein'} is a distilled klein of few steps")
    warning, fault = forced.stderr.strip().splitlines()
    assert "expect poor priors and edits, or use black-forest-labs/FLUX.2-klein-base-4B" in warning
    assert fault.startswith(f"port {port} is in use")  # the check after that of the base model


@pytest.mark.usefixtures("signals")
def test_up_refuses_a_missing_base_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_BASE_MODEL", "/nope")
    result = run("up", "--data", tmp_path / "data", "--port", 0)
    assert_refused(result, "the base model /nope does not exist: set LIPE_BASE_MODEL to the folder")


@pytest.mark.usefixtures("signals")
def test_up_refuses_a_data_folder_that_it_cannot_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("up", "--data", tmp_path / "file" / "data")
    assert_refused(result, "choose another folder with --data")


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ("new", "API key: lipe_a_b (kept in /data/api-key)"),
        ("replaced", "/data/api-key was not valid any more: there is a new one.\nAPI key: lipe_a_b (kept in"),
        ("kept", "API key: as before, in /data/api-key"),
    ],
)
def test_up_shows_a_new_key_once_and_then_its_file(origin: str, message: str) -> None:
    shown = announced(service(origin))
    assert message in shown
    assert ("lipe_a_b" in shown) == (origin != "kept")


def test_up_shows_a_terminal_alone_the_studio_with_the_key() -> None:
    assert "Studio: http://127.0.0.1:1/\n" in announced(service("kept"))
    assert "Studio: http://127.0.0.1:1/#key=lipe_a_b\n" in announced(service("kept"), is_terminal=True)


def test_up_says_that_the_miniature_knows_no_photos() -> None:
    advice = "For photos, set LIPE_BASE_MODEL to an SDXL checkpoint."
    assert advice in announced(service(has_miniature=True))
    assert advice not in announced(service(has_miniature=False))


def test_up_prints_the_url_of_other_machines() -> None:
    assert "Other machines use http://192.0.2.7:1 (set LIPE_PUBLIC_URL" in announced(
        service(public_url="http://192.0.2.7:1")
    )
    assert "Other machines" not in announced(service())


def test_up_for_scripts_prints_the_key_at_every_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert announced(service("kept"), as_json=True) == ""
    ready = json.loads(capsys.readouterr().out)
    assert (ready["api_key"], ready["api_key_file"]) == ("lipe_a_b", "/data/api-key")


def service(origin: str = "new", *, has_miniature: bool = False, public_url: str = "http://127.0.0.1:1") -> Service:
    key = AccessKey("lipe_a_b", Path("/data/api-key"), origin)  # type: ignore[arg-type]
    return Service(
        "http://127.0.0.1:1", public_url, key, has_miniature, Path("/data"), {}, {}, (), Path("/data/settings.sh")
    )


def announced(service: Service, *, as_json: bool = False, is_terminal: bool = False) -> str:
    shown = io.StringIO()
    announce(Console(file=shown, width=40, force_terminal=is_terminal, color_system=None), service, as_json=as_json)
    return shown.getvalue()


def assert_refused(result: Result, message: str) -> None:
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
