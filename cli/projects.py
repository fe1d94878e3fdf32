"""`lipe projects`: create, list and change the projects, in the database."""

import math
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from cli.database_session import open_session
from cli.settings_file import Data
from cli.whole_table import print_whole
from ledger import projects

app = typer.Typer(no_args_is_help=True, help="Create and list projects; set their weight, quotas and kind of results.")

Name = Annotated[str, typer.Argument(help="The project's name.")]
Weight = Annotated[
    float | None,
    typer.Option(
        help="Share of the GPU time while several projects wait: twice the weight gets twice the time. New projects: 1."
    ),
]
Quota = Annotated[str | None, typer.Option(help='A number, or "default" for that of the settings.')]


@app.command()
def create(name: Name, weight: Weight = None, data: Data = None) -> None:
    """Create a project. `lipe keys create --project` makes its first key."""
    _check_weight(weight)
    with open_session(data) as (session, _):
        if projects.by_name(session, name) is not None:
            raise typer.BadParameter(f"there is a project {name} already: choose another name")
        project = projects.create(session, name)
        project.weight = 1.0 if weight is None else weight
    print(f"created {name}: `lipe keys create --project {name} --name first` makes its first key")


@app.command("list")
def show(data: Data = None) -> None:
    """List the projects. A quota in brackets is that of the settings."""
    table = Table("name", "results", "visible label", "weight", "running jobs", "queued jobs", "GPU seconds a day")
    with open_session(data) as (session, settings):
        for project in projects.listing(session):
            quotas = [
                _quota(project.max_running_jobs, settings.max_running_jobs),
                _quota(project.max_queued_jobs, settings.max_queued_jobs),
                _quota(project.max_gpu_seconds_per_day, settings.max_gpu_seconds_per_day),
            ]
            label = "yes" if project.visible_label else "no"
            table.add_row(Text(project.name), project.result_kind, label, f"{project.weight:g}", *map(Text, quotas))
    print_whole(table)


@app.command("set")
def change(
    name: Name,
    results: Annotated[
        Literal["archival", "published"] | None,
        typer.Option(help="archival: signed, exact outside the mask. published: also with an invisible watermark."),
    ] = None,
    label: Annotated[
        bool | None,
        typer.Option("--label/--no-label", help='A visible label "AI-edited" in a corner of published results.'),
    ] = None,
    weight: Weight = None,
    max_running_jobs: Quota = None,
    max_queued_jobs: Quota = None,
    max_gpu_seconds_per_day: Quota = None,
    data: Data = None,
) -> None:
    """Change a project: its kind of results, its weight or its quotas."""
    _check_weight(weight)
    quotas = {
        "max_running_jobs": max_running_jobs,
        "max_queued_jobs": max_queued_jobs,
        "max_gpu_seconds_per_day": max_gpu_seconds_per_day,
    }
    given = {column: _parse_quota(column, text) for column, text in quotas.items() if text is not None}
    options = {"result_kind": results, "visible_label": label, "weight": weight}
    changes = {column: value for column, value in options.items() if value is not None} | given
    if not changes:
        raise typer.BadParameter("give what shall change: see `lipe projects set --help`")
    with open_session(data) as (session, settings):
        project = projects.by_name(session, name)
        if project is None:
            raise typer.BadParameter(f"there is no project {name}: `lipe projects list` shows them")
        if results == "published" and not settings.watermark_key.get_secret_value():
            raise typer.BadParameter("published results need a watermark: set LIPE_WATERMARK_KEY first")
        for column, value in changes.items():
            setattr(project, column, value)
    print(f"{name} is changed; `lipe projects list` shows it")


def _check_weight(weight: float | None) -> None:
    if weight is not None and not (math.isfinite(weight) and 0.001 <= weight <= 1000):
        raise typer.BadParameter(f"--weight {weight:g}: choose a number from 0.001 to 1000")


def _parse_quota(column: str, text: str) -> int | None:
    if text == "default":
        return None
    if not text.isascii() or not text.isdecimal() or not 0 <= int(text) < 2**31:
        option = column.replace("_", "-")
        raise typer.BadParameter(f'--{option} {text}: write a whole number from 0 to 2147483647, or "default"')
    return int(text)


def _quota(own: int | None, default: int) -> str:
    return f"[{default}]" if own is None else str(own)
