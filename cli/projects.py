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
    table = Table("name", "results")
    with open_session(data) as (session, _):
        for project in projects.listing(session):
            table.add_row(Text(project.name), project.result_kind)
    print_whole(table)


@app.command("set")
def change(
    name: Annotated[str, typer.Argument(help="The project's name.")],
    results: Annotated[
        Literal["archival", "published"],
        typer.Option(help="archival: signed, exact outside the mask. published: also with an invisible watermark."),
    ],
    data: Data = None,
) -> None:
    """Set the kind of the results of a project's edits, for edits that do not say it themselves."""
    with open_session(data) as (session, settings):
        project = projects.by_name(session, name)
        if project is None:
            raise typer.BadParameter(f"there is no project {name}: `lipe projects list` shows them")
        if results == "published" and not settings.watermark_key.get_secret_value():
            raise typer.BadParameter("published results need a watermark: set LIPE_WATERMARK_KEY first")
        project.result_kind = results
    print(f"the results of {name} are {results}")
