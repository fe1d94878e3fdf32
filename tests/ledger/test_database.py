"""The pool replaces lost connections; `autocommit` commits each statement."""

import psycopg
import pytest
from sqlalchemy import Engine, text

from ledger.database import UNAVAILABLE, UnitOfWork, autocommit, make_engine
from ledger.models import Project
from ledger.settings import Settings

PID = text("SELECT pg_backend_pid()")
END = text("SELECT pg_terminate_backend(:pid, 5000)")


def test_a_connection_that_the_server_ended_is_replaced(settings: Settings, engine: Engine) -> None:
    one = make_engine(settings.database_url, pool_size=1)
    with one.connect() as connection:
        pid = connection.scalar(PID)
    with engine.connect() as other:
        assert other.scalar(END, {"pid": pid})
    with one.connect() as connection:
        assert connection.scalar(PID) != pid
    one.dispose()


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
