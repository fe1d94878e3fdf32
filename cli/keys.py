"""`lipe keys`: create, list and revoke API keys in the database. It needs no key, so that it can make the first one."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy.orm import Session

from cli.database_session import open_session
from cli.settings_file import Data
from cli.whole_table import print_whole
from ledger import keys, projects
from ledger.database import now
from ledger.keys import Scope
from ledger.models import ApiKey

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")
PERIOD = re.compile(r"(\d{1,5})([hd])")
ProjectName = Annotated[str, typer.Option("--project", help="The project's name.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    scope: Annotated[
        Scope,
        typer.Option(
            help="read: see everything but secrets; write: also change it; admin: also keys and webhooks; operator: "
            "also the workers, which belong to no project."
        ),
    ] = "write",
    expires: Annotated[
        str | None, typer.Option(help="When the key stops working: 12h, 90d, or a time as 2027-01-31. Default: never.")
    ] = None,
    project: ProjectName = "default",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the key and nothing else.")] = False,
    data: Data = None,
) -> None:
    """Create a key, and its project if none has that name. The key is shown only now."""
    expires_at = parse_expiry(expires, datetime.now(UTC)) if expires else None
    with open_session(data) as (session, settings):
        owner = projects.by_name(session, project) or projects.create(session, project)
        pepper = settings.key_pepper.get_secret_value()
        key, token = keys.create(session, pepper, owner.id, name, scope=scope, expires_at=expires_at)
    until = f"until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else "without an expiry"
    facts = f"id {key.id}, scope {scope}, project {project}, {until}; this key cannot be shown again"
    print(token if quiet else f"{token}\n{facts}")


@app.command("list")
def show(project: ProjectName = "default", data: Data = None) -> None:
    """List the project's keys, without their secrets. Times are in UTC, and those of the last use exact to a minute."""
    whole_id = Column("id", no_wrap=True)  # `lipe keys revoke` takes no shortened id
    table = Table(whole_id, "name", "scope", "created", "last used", "expires", "state")
    with open_session(data) as (session, _):
        present = now(session)
        for key in keys.of_project(session, _project_id(session, project)):
            times = [_time(time) for time in (key.created_at, key.last_used_at, key.expires_at)]
            table.add_row(key.id, Text(key.name), keys.widest_scope(key), *times, _state(key, present))
    print_whole(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `lipe keys list` shows it.")],
    project: ProjectName = "default",
    data: Data = None,
) -> None:
    """Revoke a key. It stops working within a second."""
    with open_session(data) as (session, _):
        if not keys.revoke(session, _project_id(session, project), key_id):
            raise typer.BadParameter(f"the project {project} has no valid key {key_id}: see `lipe keys list`")
    print(f"{key_id} is revoked")


def parse_expiry(text: str, present: datetime) -> datetime:
    """The time of "12h", "90d", "2027-01-31" (its first moment in UTC) or "2027-01-31T12:00:00+01:00".

    Raises typer.BadParameter for another text and for a time in the past.
    """
    try:
        if period := PERIOD.fullmatch(text):
            moment = present + timedelta(**{{"h": "hours", "d": "days"}[period[2]]: int(period[1])})
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"--expires {text}: write 12h, 90d, 2027-01-31 or 2027-01-31T12:00:00Z") from error
    moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    if moment <= present:
        raise typer.BadParameter(f"--expires {text} is in the past: it is {present:%Y-%m-%d %H:%M} UTC")
    return moment


def _time(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}" if time else ""


def _state(key: ApiKey, present: datetime) -> str:
    if key.revoked_at:
        return f"revoked {_time(key.revoked_at)}"
    return "expired" if key.expires_at and key.expires_at <= present else "valid"


def _project_id(session: Session, name: str) -> str:
    project = projects.by_name(session, name)
    if project is None:
        raise typer.BadParameter(f"there is no project {name}: `lipe keys create --project {name}` creates it")
    return project.id
