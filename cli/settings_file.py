"""The file `settings.sh` in the data folder of `lipe up`: exports for a shell, which the other commands also read.

A command finds the service by `--data`, else by the environment, else in the folder `data`, the default of `lipe up`.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ledger.settings import Settings

NAME = "settings.sh"
DEFAULT_DATA = Path("data")
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", file_okay=False, help="The data folder of a running `lipe up`. Default: the environment, then data."
    ),
]


def as_exports(variables: Mapping[str, str]) -> str:
    """The text of the file."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def read_exports(file: Path) -> dict[str, str]:
    """The variables of the file; none if it does not exist. A line that is no export is skipped."""
    if not file.exists():
        return {}
    words = shlex.split(file.read_text())
    return dict(word.split("=", 1) for word in words if "=" in word)


def find_variables(data: Path | None, *, unless: str) -> dict[str, str]:
    """The variables of the running `lipe up` that the command line names, or of the one in the default folder.

    None if the environment has the variable `unless` and no folder is given. Raises typer.BadParameter if no `lipe up`
    uses the given folder.
    """
    if data is None:
        return {} if os.environ.get(unless) else read_exports(DEFAULT_DATA / NAME)
    if variables := read_exports(data / NAME):
        return variables
    raise typer.BadParameter(f"no LIPE runs with the data folder {data}: start it with `lipe up --data {data}`")


def settings_from(variables: Mapping[str, str]) -> Settings:
    """The settings by these variables over those of the environment. Raises pydantic.ValidationError."""
    values = {
        name.removeprefix("LIPE_").lower(): value for name, value in variables.items() if name.startswith("LIPE_")
    }
    return Settings(**values)  # type: ignore[arg-type]


def find_settings(data: Path | None) -> Settings:
    """The settings of the service's servers. Raises pydantic.ValidationError and typer.BadParameter."""
    return settings_from(find_variables(data, unless="LIPE_DATABASE_URL"))
