"""The pool replaces lost connections; `autocommit` commits each statement."""

import logging

import psycopg
import pytest
from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import DBAPIError

from ledger.database import UNAVAILABLE, UnitOfWork, autocommit, make_engine
from ledger.models import Project
from ledger.settings import Settings
from tests.support.pooler import without_pooler

PID = text("SELECT pg_backend_pid()")
END = text("SELECT pg_terminate_backend(:pid, 5000)")


@without_pooler
def test_a_connection_that_the_server_ended_is_replaced(settings: Settings, engine: Engine) -> None:
    one = make_engine(settings.database_url, pool_size=1)
    with one.connect() as connection:
        pid = connection.scalar(PID)
    with engine.connect() as other:
        assert other.scalar(END, {"pid": pid})
    with one.connect() as connection:
        assert connection.scalar(PID) != pid
    one.dispose()


@without_pooler
def test_a_connection_that_ends_in_use_is_unavailability(settings: Settings, engine: Engine) -> None:
    one = make_engine(settings.database_url, pool_size=1)

    def end_and_query() -> None:
        with autocommit(one)() as connection:
            with engine.connect() as other:
                other.scalar(END, {"pid": connection.info.backend_pid})
            connection.execute("SELECT 1")

    with pytest.raises(UNAVAILABLE):
        end_and_query()
    with autocommit(one)() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    one.dispose()


def test_autocommit_commits_each_statement(engine: Engine, begin: UnitOfWork, project: Project) -> None:
    rename = "UPDATE projects SET name = %s WHERE id = %s"

    def rename_and_fail() -> None:
        with autocommit(engine)() as connection:
            connection.execute(rename, ("renamed", project.id))
            connection.execute("SELECT 1 FROM nowhere")

    with pytest.raises(psycopg.errors.UndefinedTable):
        rename_and_fail()
    with begin() as session:
        assert session.get_one(Project, project.id).name == "renamed"
        session.execute(text("UPDATE projects SET name = 'again'"))
        session.rollback()  # in the pool, connections are transactional again
    with begin() as session:
        assert session.scalar(text("SELECT name FROM projects")) == "renamed"


@pytest.mark.parametrize("through", ["session", "autocommit"])
def test_an_error_during_a_write_reveals_no_values(
    engine: Engine, begin: UnitOfWork, project: Project, caplog: pytest.LogCaptureFixture, through: str
) -> None:
    """Neither as parameters of the statement, nor as the row in the detail of the server's message."""
    secret, name = "whsec_canary_secret", "Canary Name"
    statement = "INSERT INTO projects (id, name, webhook_secrets) VALUES (%s, %s, %s::jsonb)"

    def write() -> None:
        if through == "autocommit":
            with autocommit(engine)() as connection:
                connection.execute(statement, (None, name, f'["{secret}"]'))
        with begin() as session:
            session.execute(insert(Project).values(id=project.id, name=name, webhook_secrets=[secret]))

    def write_no_id() -> None:
        with begin() as session:
            session.execute(
                text("INSERT INTO projects (name, webhook_secrets) VALUES (:name, CAST(:secrets AS jsonb))"),
                {"name": name, "secrets": f'["{secret}"]'},
            )

    for act in (write, write_no_id):
        with pytest.raises((DBAPIError, psycopg.Error)) as caught:
            act()
        logging.getLogger("test").error("a write failed", exc_info=caught.value)
        logged = f"{caplog.text} {caught.value} {caught.value!r}"
        assert "violates" in logged
        assert "anary" not in logged
