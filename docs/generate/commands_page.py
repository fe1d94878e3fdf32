"""The page of the `lipe` command, from its help."""

from typing import Any

import typer.main

from cli.main import app
from docs.generate.markdown import page, table

INTRODUCTION = """
`lipe COMMAND --help` prints the same. In a clone of the repository the command is `.venv/bin/lipe`.
"""


def render() -> str:
    """The text of docs/commands.md."""
    parts = [part for name, command in _commands(typer.main.get_command(app)) for part in _section(name, command)]
    return page("Commands", INTRODUCTION, *parts)


def _commands(group: Any, prefix: str = "lipe") -> list[tuple[str, Any]]:
    """All commands with their full names, those of groups after each other."""
    found = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += _commands(command, f"{prefix} {name}")
        elif not command.hidden:
            found.append((f"{prefix} {name}", command))
    return found


def _section(name: str, command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([name, *(p.name.upper() for p in arguments), *(["[OPTIONS]"] if options else [])])
    rows = [(_names(parameter), parameter.help or "", _default(parameter)) for parameter in (*arguments, *options)]
    return [
        f"## `{name}`",
        f"```text\n{usage}\n```",
        command.help or "",
        table(("option", "meaning", "default"), rows) if rows else "",
    ]


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if parameter.envvar:
        return f"`{parameter.envvar}`" + (f", or `{value}`" if value else "")
    if isinstance(value, bool):
        return "on" if value and parameter.secondary_opts else ""
    return f"`{value}`" if value not in (None, "", []) else ""
