"""The page of the settings, from the classes that read them."""

from pathlib import PurePath
from typing import Any

import typer.main
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.core import TyperCommand

from cli.main import app
from docs.generate.markdown import page, table
from ledger.settings import Settings

INTRODUCTION = """
LIPE reads its settings from environment variables. A setting can also be a file in `/run/secrets`, whose name is that
of the variable in lower case: `/run/secrets/lipe_database_url`. The environment has priority. `.env.example` has the
same list, to copy from.

`lipe up` sets the required ones itself. Which settings it has chosen is in `settings.sh` in its data folder.
"""
OTHER = """
[Production](production.md) lists the variables that only `docker-compose.yml` reads.
"""


def render() -> str:
    """The text of docs/settings.md."""
    service = table(
        ("variable", "default", "meaning"),
        ((f"`{_variable(name)}`", _default(field), _meaning(field)) for name, field in Settings.model_fields.items()),
    )
    commands = table(
        ("variable", "commands", "meaning"),
        ((f"`{name}`", ", ".join(f"`{c}`" for c in users), help) for name, (users, help) in _of_commands().items()),
    )
    return page(
        "Settings", INTRODUCTION, "## The service", service, "## Commands that use a running service", commands, OTHER
    )


def _variable(name: str) -> str:
    return f"LIPE_{name.upper()}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if str(value) not in {"", str(PurePath())} else "empty"


def _meaning(field: FieldInfo) -> str:
    if not field.description:
        raise ValueError(f"a setting of ledger/settings.py has no docstring: {field}")
    return field.description


def _of_commands() -> dict[str, tuple[list[str], str]]:
    """The variables that options of commands read, with the commands and the help of the first one."""
    found: dict[str, tuple[list[str], str]] = {}
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        for parameter in command.params if isinstance(command, TyperCommand) else ():
            if parameter.envvar and _is_new(str(parameter.envvar)):
                users, _ = found.setdefault(str(parameter.envvar), ([], str(getattr(parameter, "help", None) or "")))
                users.append(f"lipe {name}")
    return found


def _is_new(variable: str) -> bool:
    return variable.removeprefix("LIPE_").lower() not in Settings.model_fields
