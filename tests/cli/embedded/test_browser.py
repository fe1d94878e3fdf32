"""`lipe up` opens the studio for a person who sits before this machine, and shows the key to no other user."""

import io
import stat
import webbrowser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from cli.embedded import browser
from cli.embedded.browser import FILE, is_wanted, open_studio


@pytest.mark.parametrize(
    ("choice", "is_interactive", "environment", "wanted"),
    [
        (None, True, {"DISPLAY": ":0"}, True),
        (None, True, {"WAYLAND_DISPLAY": "wayland-0"}, True),
        (None, True, {}, False),
        (None, True, {"DISPLAY": ""}, False),
        (None, False, {"DISPLAY": ":0"}, False),
        (None, True, {"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "192.0.2.7 1 192.0.2.8 22"}, False),
        (None, True, {"DISPLAY": ":0", "CI": "true"}, False),
        (None, True, {"DISPLAY": ":0", "container": "podman"}, False),
        (True, False, {}, True),
        (False, True, {"DISPLAY": ":0"}, False),
    ],
)
def test_the_browser_opens_for_a_person_before_a_display(
    monkeypatch: pytest.MonkeyPatch,
    choice: bool | None,
    is_interactive: bool,
    environment: dict[str, str],
    wanted: bool,
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(browser, "CONTAINERS", ())  # the tests may run in one
    assert is_wanted(choice, is_interactive=is_interactive, environment=environment) is wanted


def test_no_browser_opens_in_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "CONTAINERS", (tmp_path,))
    assert not is_wanted(None, is_interactive=True, environment={"DISPLAY": ":0"})


@pytest.mark.parametrize("has_browser", [True, False])
def test_the_key_is_in_a_private_file_and_in_no_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_browser: bool
) -> None:
    opened: list[str] = []

    def record(url: str) -> bool:
        opened.append(url)
        return has_browser

    monkeypatch.setattr(webbrowser, "open", record)
    service: Any = SimpleNamespace(
        data_dir=tmp_path,
        url="http://127.0.0.1:1",
        key=SimpleNamespace(token="lipe_a_b"),
    )
    output = io.StringIO()
    open_studio(service, Console(file=output))
    file = tmp_path / FILE
    assert opened == [file.as_uri()]
    assert 'content="0; url=http://127.0.0.1:1/#key=lipe_a_b"' in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ("open the address of the studio yourself" in output.getvalue()) is not has_browser
