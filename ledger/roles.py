"""Database roles: one for each program, with the rights on tables that its queries need and no others.

The owner of the tables, which `lipe migrate` and the operator's commands use, keeps all rights. Foreign keys and
cascades need no rights of the role: Postgres checks them as the owner. A row lock needs UPDATE.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from psycopg import Connection, sql
from sqlalchemy import URL, func, make_url, select, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from ledger.schema import MIGRATION_LOCK

Program = Literal["api", "dispatcher", "webhooks", "worker"]
PROGRAMS: tuple[Program, ...] = get_args(Program)

READ, ADD, CHANGE, ALL = "SELECT", "SELECT, INSERT", "SELECT, INSERT, UPDATE", "SELECT, INSERT, UPDATE, DELETE"
LOCK = "UPDATE (created_at)"
"""A lock needs the right to change one column, so this is the least harmful one."""
ENDPOINT = "SELECT (id, project_id, url, events, disabled_at)"
"""All that a new delivery needs of an endpoint, without its secrets."""

RIGHTS: Mapping[Program, Mapping[str, str]] = {
    "api": {
        **dict.fromkeys(("artefacts", "base_models", "leases", "workers"), READ),
        **dict.fromkeys(("decisions", "events"), ADD),
        **dict.fromkeys(
            ("consents", "erasures", "jobs", "keys", "shares", "usage", "usage_by_kind", "webhook_deliveries"), CHANGE
        ),
        **dict.fromkeys(("edits", "idempotent_requests", "images", "outbox", "priors", "subject_references"), ALL),
        **dict.fromkeys(("studies", "subjects", "uploads", "webhook_endpoints"), ALL),
        **dict.fromkeys(("study_answers", "study_images", "study_raters"), ADD),
        "study_items": "SELECT, INSERT, DELETE",
        "projects": "SELECT, UPDATE (webhook_secrets, former_secret_expires_at)",
    },
    "dispatcher": {
        **dict.fromkeys(("artefacts", "base_models", "subject_references"), READ),
        **dict.fromkeys(("decisions", "events"), ADD),
        **dict.fromkeys(("erasures", "shares", "usage", "usage_by_kind", "webhook_deliveries"), CHANGE),
        **dict.fromkeys(("consents", "jobs"), "SELECT, UPDATE"),
        **dict.fromkeys(("edits", "idempotent_requests", "images", "priors"), "SELECT, UPDATE, DELETE"),
        **dict.fromkeys(("studies", "subjects", "uploads"), "SELECT, UPDATE, DELETE"),
        "study_items": "SELECT, DELETE",
        "study_images": READ,
        **dict.fromkeys(("leases", "workers"), "SELECT, DELETE"),
        "known_periods": CHANGE,
        "outbox": ALL,
        "projects": f"SELECT (id, name), {LOCK}",
        "webhook_endpoints": ENDPOINT,
    },
    "webhooks": {
        "projects": READ,
        "uploads": "SELECT, UPDATE (size, failure, failure_detail)",
        "webhook_deliveries": "SELECT, UPDATE",
        "webhook_endpoints": "SELECT, UPDATE (disabled_at)",
    },
    "worker": {
        **dict.fromkeys(("consents", "edits", "images", "subject_references", "subjects"), READ),
        **dict.fromkeys(("artefacts", "decisions", "events", "outbox", "webhook_deliveries"), ADD),
        **dict.fromkeys(("jobs", "priors"), "SELECT, UPDATE"),
        "projects": f"SELECT (id, result_kind, visible_label, weight, max_running_jobs), {LOCK}",
        **dict.fromkeys(("base_models", "shares", "usage", "usage_by_kind"), CHANGE),
        "webhook_endpoints": ENDPOINT,
        **dict.fromkeys(("leases", "workers"), ALL),
    },
}


class InvalidRole(ValueError):
    """The URL of a program cannot be its role's; the message says why."""


def grant(session: Session, urls: Mapping[Program, str]) -> None:
    """Create the roles that the URLs name, with the URLs' passwords, and give each exactly its program's rights.

    A role that exists gets the password, and loses its other rights on tables. Raises InvalidRole, and
    sqlalchemy.exc.ProgrammingError if the user of the session may not create roles.
    """
    session.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, Connection)  # noqa: S101
    for program, url in urls.items():
        login = _login(connection, program, url)
        role = sql.Identifier(str(login.username))
        exists = session.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = :name"), {"name": login.username})
        options = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD {}")
        statements = [
            options.format(sql.SQL("ALTER" if exists else "CREATE"), role, _verifier(connection, login)),
            sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(role),
            sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role),
        ]
        for table, rights in RIGHTS[program].items():
            statements.append(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), sql.Identifier(table), role))
        for statement in statements:
            session.connection().exec_driver_sql(statement.as_string(connection))


def read_urls(folder: Path) -> dict[Program, str]:
    """The URL of each program, from the files `<program>_database_url` of a folder. Raises InvalidRole."""
    urls = dict[Program, str]()
    for program in PROGRAMS:
        file = folder / f"{program}_database_url"
        try:
            urls[program] = file.read_text().strip()
        except OSError as error:
            raise InvalidRole(f"{file} cannot be read: it has the database URL of the program {program}") from error
    return urls


def _verifier(connection: Connection, login: URL) -> sql.Literal:
    """The password as the server stores it, so that no log of the server has the password itself."""
    password, name = str(login.password).encode(), str(login.username).encode()
    return sql.Literal(connection.pgconn.encrypt_password(password, name, b"scram-sha-256").decode())


def _login(connection: Connection, program: Program, url: str) -> URL:
    try:
        login = make_url(url)
    except ArgumentError as error:
        raise InvalidRole(
            f"the database URL of the program {program} is no URL: write it as .env.example does"
        ) from error
    if not login.username or not login.password:
        raise InvalidRole(f"the database URL of the program {program} names no user or no password")
    if login.username == connection.info.user:
        raise InvalidRole(
            f"the database URL of the program {program} names {login.username}, the owner of the tables: "
            "give the program a user of its own"
        )
    return login
