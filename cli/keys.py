"""`lipe keys`: create, list and revoke API keys in the database. The API itself cannot create keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from sqlalchemy.orm import Session

from cli.server_errors import server_errors
from ledger import keys, projects
from ledger.database import make_engine, unit_of_work
from ledger.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")
WIDEST = 1000  # characters; a terminal of this width shows every table whole
ProjectName = Annotated[str, typer.Option("--project", help="The project's name.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    project: ProjectName = "default",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the key and nothing else.")] = False,
) -> None:
    """Create a key, and its project if none has that name. The key is shown only now."""
    with _session() as (session, settings):
        owner = projects.by_name(session, project) or projects.create(session, project)
        key, token = keys.create(session, settings.key_pepper.get_secret_value(), owner.id, name)
    print(token if quiet else f"{token}\nid {key.id}, project {project}; this key cannot be shown again")


@app.command("list")
def show(project: ProjectName = "default") -> None:
    """List the project's keys, without their secrets."""
    whole_id = Column("id", no_wrap=True)  # `lipe keys revoke` takes no shortened id
    table = Table(whole_id, "name", "scopes", "created", "expires", "revoked")
    with _session() as (session, _):
        for key in keys.of_project(session, _project_id(session, project)):
            times = (key.created_at, key.expires_at, key.revoked_at)
            shown = [f"{time:%Y-%m-%d %H:%M}" if time else "" for time in times]
            table.add_row(key.id, key.name, " ".join(key.scopes), *shown)
    whole_words = Console(width=WIDEST).measure(table).minimum
    Console(width=max(Console().width, whole_words)).print(table, crop=False)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")], project: ProjectName = "default") -> None:
    """Revoke a key. It stops working within a second."""
    with _session() as (session, _):
        if not keys.revoke(session, _project_id(session, project), key_id):
            raise typer.BadParameter(f"{project} has no valid key {key_id}")
    print(f"{key_id} is revoked")


@contextmanager
def _session() -> Iterator[tuple[Session, Settings]]:
    with server_errors():
        settings = Settings()
        engine = make_engine(settings.database_url)
        try:
            with unit_of_work(engine)() as session:
                yield session, settings
        finally:
            engine.dispose()


def _project_id(session: Session, name: str) -> str:
    project = projects.by_name(session, name)
    if project is None:
        raise typer.BadParameter(f"there is no project {name}")
    return project.id
