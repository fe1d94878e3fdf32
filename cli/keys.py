"""`lipe keys`: create, list and revoke API keys in the database. The API itself cannot create keys."""

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

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")
ProjectName = Annotated[str, typer.Option("--project", help="The project's name.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    project: ProjectName = "default",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the key and nothing else.")] = False,
) -> None:
    """Create a key, and its project if none has that name. The key is shown only now."""
    settings = Settings()
    with _session(settings) as session:
        owner = projects.by_name(session, project) or projects.create(session, project)
        key, token = keys.create(session, settings.key_pepper.get_secret_value(), owner.id, name)
    print(token if quiet else f"{token}\nid {key.id}, project {project}; this key cannot be shown again")


@app.command("list")
def show(project: ProjectName = "default") -> None:
    """List the project's keys, without their secrets."""
    table = Table("id", "name", "scopes", "created", "expires", "revoked")
    with _session(Settings()) as session:
        for key in keys.of_project(session, _project_id(session, project)):
            times = (key.created_at, key.expires_at, key.revoked_at)
            shown = [f"{time:%Y-%m-%d %H:%M}" if time else "" for time in times]
            table.add_row(key.id, key.name, " ".join(key.scopes), *shown)
    Console().print(table)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")], project: ProjectName = "default") -> None:
    """Revoke a key. It stops working within a second."""
    with _session(Settings()) as session:
        if not keys.revoke(session, _project_id(session, project), key_id):
            raise typer.BadParameter(f"{project} has no valid key {key_id}")
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
