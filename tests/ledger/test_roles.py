"""Each program has a database role that may do what the program does and no more.

That a role is sufficient is shown elsewhere: the tests of the API, the workers, the dispatcher and the webhooks use it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from ledger import roles
from ledger.database import UnitOfWork, make_engine
from ledger.models import METADATA
from ledger.roles import PROGRAMS, RIGHTS, InvalidRole, Program

FOR_NONE = ["TRUNCATE events", "DROP TABLE jobs", "CREATE TABLE mine (id int)", "CREATE ROLE mine SUPERUSER",
            "ALTER TABLE decisions DISABLE TRIGGER ALL", "UPDATE decisions SET outcome = 'given'",
            "DELETE FROM decisions", "DELETE FROM jobs", "DELETE FROM projects", "COPY jobs TO PROGRAM 'true'",
            "SELECT pg_read_file('PG_VERSION')"]  # fmt: skip
FORBIDDEN: dict[Program, list[str]] = {
    "api": ["INSERT INTO artefacts (id) VALUES ('a')", "UPDATE artefacts SET sha256 = ''", "DELETE FROM consents",
            "DELETE FROM erasures", "INSERT INTO projects (id) VALUES ('p')", "UPDATE projects SET name = ''"],
    "dispatcher": ["SELECT digest FROM keys", "SELECT webhook_secrets FROM projects",
                   "SELECT secrets FROM webhook_endpoints", "UPDATE webhook_endpoints SET url = ''",
                   "INSERT INTO jobs (id) VALUES ('j')", "INSERT INTO consents (id) VALUES ('c')",
                   "DELETE FROM erasures"],
    "webhooks": ["SELECT digest FROM keys", "SELECT id FROM jobs", "SELECT person FROM consents",
                 "SELECT name FROM subjects", "SELECT key FROM images", "UPDATE webhook_endpoints SET url = ''",
                 "UPDATE projects SET webhook_secrets = '[]'", "DELETE FROM webhook_deliveries",
                 "INSERT INTO outbox DEFAULT VALUES"],
    "worker": ["SELECT digest FROM keys", "SELECT webhook_secrets FROM projects",
               "SELECT secrets FROM webhook_endpoints", "SELECT id FROM uploads", "SELECT * FROM idempotent_requests",
               "DELETE FROM images", "DELETE FROM subjects", "UPDATE subjects SET name = ''",
               "UPDATE consents SET ended_at = NULL", "UPDATE webhook_deliveries SET url = ''",
               "INSERT INTO jobs (id) VALUES ('j')"],
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_may_do_nothing_that_it_need_not_do(
    role_begin: Callable[[Program], UnitOfWork], program: Program
) -> None:
    for statement in FOR_NONE + FORBIDDEN[program]:
        with pytest.raises(ProgrammingError) as refused, role_begin(program)() as session:
            session.execute(text(statement))
        assert isinstance(refused.value.orig, InsufficientPrivilege), statement


def test_every_table_has_a_program_that_uses_it() -> None:
    assert {table for rights in RIGHTS.values() for table in rights} == set(METADATA.tables)


@pytest.fixture
def spare_url(engine: Engine) -> Iterator[str]:
    """The URL of a role that the test makes."""
    yield engine.url.set(username="spare", password="the first one").render_as_string(False)
    with engine.begin() as connection:
        connection.execute(text("DROP OWNED BY spare"))
        connection.execute(text("DROP ROLE spare"))


def test_a_role_gets_its_new_password_and_loses_rights_that_it_should_not_have(
    begin: UnitOfWork, engine: Engine, spare_url: str
) -> None:
    other = make_url(spare_url).set(password="the second one").render_as_string(False)
    with begin() as session:
        roles.grant(session, {"webhooks": spare_url})
        session.execute(text("GRANT SELECT ON keys TO spare"))
        roles.grant(session, {"webhooks": other})
    for url, refusal, words in (
        (spare_url, OperationalError, "authentication failed"),
        (other, ProgrammingError, "permission denied for table keys"),
    ):
        spare = make_engine(url, pool_size=1)
        with pytest.raises(refusal, match=words), spare.connect() as connection:
            connection.execute(text("SELECT * FROM webhook_deliveries, keys"))
        spare.dispose()


@pytest.mark.parametrize(
    ("password", "words"),
    [("word", "the owner of the tables: give the program a user of its own"), ("", "names no user or no password")],
)
def test_a_url_that_cannot_be_a_role_is_refused(begin: UnitOfWork, engine: Engine, password: str, words: str) -> None:
    url = engine.url.set(password=password).render_as_string(False)
    with pytest.raises(InvalidRole, match=words), begin() as session:
        roles.grant(session, {"api": url})


def test_the_urls_are_files_of_a_folder(tmp_path: Path) -> None:
    for program in PROGRAMS[1:]:
        (tmp_path / f"{program}_database_url").write_text("postgresql://a:b@c/d\n")
    with pytest.raises(
        InvalidRole, match="api_database_url cannot be read: it has the database URL of the program api"
    ):
        roles.read_urls(tmp_path)
    (tmp_path / "api_database_url").write_text("postgresql://a:b@c/d\n")
    assert set(roles.read_urls(tmp_path).values()) == {"postgresql://a:b@c/d"}
