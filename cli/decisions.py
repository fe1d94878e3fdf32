"""`lipe decisions`: export the append-only log of decisions from the database, and verify an export."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.server_errors import server_errors
from cli.settings_file import Data, find_settings
from ledger import decisions, projects
from ledger.database import make_engine, unit_of_work

app = typer.Typer(no_args_is_help=True, help="Export and verify the append-only log of decisions.")
BROKEN = 1


@app.command()
def export(
    project: Annotated[str | None, typer.Option(help="The project's name. Default: all projects.")] = None,
    data: Data = None,
) -> None:
    """Print the log as JSON Lines, oldest decision first. Keep a copy where this service cannot change it."""
    with server_errors():
        engine = make_engine(find_settings(data).database_url, pool_size=1)
        try:
            with unit_of_work(engine)() as session:
                owner = projects.by_name(session, project) if project else None
                if project and owner is None:
                    raise typer.BadParameter(f"there is no project {project}")
                for line in decisions.export(session, owner.id if owner else None):
                    print(json.dumps(line, separators=(",", ":")))
        finally:
            engine.dispose()


@app.command()
def verify(file: Annotated[Path, typer.Argument(help="An export; - reads it from the standard input.")]) -> None:
    """Check the chain of hashes in an export. It needs no database. Exit status: 0 unbroken, 1 broken."""
    count = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for line in _lines(file):
            count += 1
            yield line

    faults = [f"decision {identifier} {fault}" for identifier, fault in decisions.breaks(counted())]
    print("\n".join(faults) if faults else f"{count} decisions, unbroken")
    if faults:
        raise typer.Exit(BROKEN)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The decisions of the file. Raises typer.BadParameter with the number of a line that is none."""
    try:
        with sys.stdin if str(file) == "-" else file.open() as lines:
            for number, text in enumerate(lines, 1):
                yield _line(number, text)
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file}: {error}") from error


def _line(number: int, text: str) -> dict[str, Any]:
    needed = {*decisions.HASHED, "previous", "hash"}
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if not isinstance(line, dict) or not needed <= line.keys():
        raise typer.BadParameter(f"line {number} is no decision: give the output of `lipe decisions export`")
    return line
