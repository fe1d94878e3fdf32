"""Open the studio in the browser of the person who has started `lipe up`."""

import sys
import webbrowser
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cli.embedded.process import write_private

if TYPE_CHECKING:
    from cli.embedded.up import Service

FILE = "open-studio.html"
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
OTHER_SESSIONS = ("SSH_CONNECTION", "SSH_TTY", "CI", "PYTEST_CURRENT_TEST", "container")
"""Variables of sessions whose display, if they have one, is not that of this machine, or is seen by no person."""
CONTAINERS = (Path("/.dockerenv"), Path("/run/.containerenv"))
PAGE = """\
<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>LIPE studio</title>
    <meta http-equiv="refresh" content="0; url={address}">
  </head>
  <body><a href="{address}">Open the LIPE studio</a></body>
</html>
"""


def is_wanted(choice: bool | None, *, is_interactive: bool, environment: Mapping[str, str]) -> bool:
    """Whether to open the browser: as the option says, otherwise if a person sits before a display of this machine."""
    if choice is not None:
        return choice
    has_display = sys.platform in ("darwin", "win32") or any(environment.get(name) for name in DISPLAYS)
    is_elsewhere = any(environment.get(name) for name in OTHER_SESSIONS) or any(file.exists() for file in CONTAINERS)
    return is_interactive and has_display and not is_elsewhere


def open_studio(service: "Service", console: Console) -> None:
    """Open the studio with the key of `lipe up`, and say so if there is no browser.

    The browser gets a file that only its owner can read: every user of a machine sees the arguments of programs, and an
    address among them would show the key.
    """
    file = service.data_dir / FILE
    write_private(file, PAGE.format(address=escape(f"{service.url}/#key={service.key.token}")))
    if not webbrowser.open(file.as_uri()):
        console.print("No browser was found: open the address of the studio yourself.", markup=False)
