"""`lipe keys`: API keys, made straight in the database, because the API itself cannot make any."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import Session

from ledger import keys, projects
from ledger.database import make_engine, unit_of_work
from ledger.settings import Settings

app = typer.Typer(no_args_is_help=True, help="API keys.")
ProjectName = Annotated[str, typer.Option("--project", help="The project's name.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    project: ProjectName = "default",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the key and nothing else.")] = False,
) -> None:
    """Make a key, and the project if there is none of that name. The key is shown this once."""
    settings = Settings()
    with _session(settings) as session:
        owner = projects.by_name(session, project) or projects.create(session, project)
        key, token = keys.create(session, settings.key_pepper.get_secret_value(), owner.id, name)
    print(token if quiet else f"{token}\nid {key.id}, project {project}; nothing can show this key again")


@app.command("list")
def show(project: ProjectName = "default") -> None:
    """The project's keys, without their secrets."""
    table = Table("id", "name", "scopes", "created", "expires", "revoked")
    with _session(Settings()) as session:
        for key in keys.of_project(session, _project_id(session, project)):
            moments = (key.created_at, key.expires_at, key.revoked_at)
            shown = [f"{moment:%Y-%m-%d %H:%M}" if moment else "" for moment in moments]
            table.add_row(key.id, key.name, " ".join(key.scopes), *shown)
    Console().print(table)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")], project: ProjectName = "default") -> None:
    """End a key, within a second."""
    with _session(Settings()) as session:
        if not keys.revoke(session, _project_id(session, project), key_id):
            raise typer.BadParameter(f"{project} has no live key {key_id}")
    print(f"{key_id} is revoked")


@contextmanager
def _session(settings: Settings) -> Iterator[Session]:
    engine = make_engine(settings.database_url)
    try:
        with unit_of_work(engine)() as session:
            yield session
    finally:
        engine.dispose()


def _project_id(session: Session, name: str) -> str:
    project = projects.by_name(session, name)
    if project is None:
        raise typer.BadParameter(f"there is no project {name}")
    return project.id
