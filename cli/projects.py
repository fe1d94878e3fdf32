"""`lipe projects`: the projects and the kind of their results, in the database."""

from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from cli.database_session import open_session
from cli.settings_file import Data
from cli.whole_table import print_whole
from ledger import projects

app = typer.Typer(no_args_is_help=True, help="List projects and set the kind of their results.")


@app.command("list")
def show(data: Data = None) -> None:
    """List the projects with the kind of their results."""
    table = Table("name", "results", "visible label")
    with open_session(data) as (session, _):
        for project in projects.listing(session):
            table.add_row(Text(project.name), project.result_kind, "yes" if project.visible_label else "no")
    print_whole(table)


@app.command("set")
def change(
    name: Annotated[str, typer.Argument(help="The project's name.")],
    results: Annotated[
        Literal["archival", "published"] | None,
        typer.Option(help="archival: signed, exact outside the mask. published: also with an invisible watermark."),
    ] = None,
    label: Annotated[
        bool | None,
        typer.Option("--label/--no-label", help='A visible label "AI-edited" in a corner of published results.'),
    ] = None,
    data: Data = None,
) -> None:
    """Set the kind of the results of a project's edits, for edits that do not say it themselves."""
    if results is None and label is None:
        raise typer.BadParameter("give --results, --label or --no-label")
    with open_session(data) as (session, settings):
        project = projects.by_name(session, name)
        if project is None:
            raise typer.BadParameter(f"there is no project {name}: `lipe projects list` shows them")
        if results == "published" and not settings.watermark_key.get_secret_value():
            raise typer.BadParameter("published results need a watermark: set LIPE_WATERMARK_KEY first")
        project.result_kind = results or project.result_kind
        project.visible_label = project.visible_label if label is None else label
        kind, labelled = project.result_kind, project.visible_label
    print(f"the results of {name} are {kind}" + (", with a visible label if published" if labelled else ""))
