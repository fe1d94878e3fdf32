"""A broker that goes away loses nothing: what cannot be rung waits in the outbox."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, event, func, select, text

from cli.embedded import valkey
from ledger import outbox, quotas
from ledger.database import UnitOfWork, autocommit, make_engine, unit_of_work
from ledger.jobs import Job
from ledger.notify import QUEUES, is_ready, make_notifier
from ledger.settings import Settings
from ledger.subjects import Subject
from tests.support.rows import make_job


def test_a_doorbell_waits_for_the_broker_and_is_rung_when_it_is_back(
    begin: UnitOfWork, settings: Settings, job: Job, tmp_path: Path
) -> None:
    with valkey.serve(tmp_path / "first") as url:
        here = settings.model_copy(update={"broker_url": url})
        ring = make_notifier(here)
        assert ring("lipe.prior", "job_warm_up")  # the connection is open when the broker dies
    assert not is_ready(here)
    assert outbox.publish(begin, ring) == 0
    assert waiting(begin) == 1
    back = make_notifier(settings)
    assert outbox.publish(begin, back) == 1
    assert waiting(begin) == 0


def test_an_entry_that_another_dispatcher_holds_is_passed_over(begin: UnitOfWork, job: Job) -> None:
    with begin() as first:
        assert len(outbox.due(first)) == 1
        assert outbox.publish(begin, lambda task, identifier: True) == 0
    assert outbox.publish(begin, lambda task, identifier: True) == 1


def test_the_first_failure_ends_the_pass(begin: UnitOfWork) -> None:
    with begin() as session:
        for number in range(3):
            outbox.add(session, "lipe.edit", f"job_{number}")
    tried = []
    assert outbox.publish(begin, lambda task, identifier: tried.append(identifier) or identifier == "job_0") == 1
    assert tried == ["job_0", "job_1"]
    assert waiting(begin) == 2


def test_every_kind_of_work_has_a_queue() -> None:
    assert len(set(QUEUES.values())) == len(QUEUES) == 3


def waiting(begin: UnitOfWork) -> int:
    with begin() as session:
        return session.scalar(select(func.count()).select_from(outbox.Entry))


class TestTheDisk:
    """The server of the tests waits for no disk; sessions here do, as production's."""

    @pytest.fixture
    def waiting(self, settings: Settings) -> Iterator[Engine]:
        engine = make_engine(settings.database_url)
        event.listen(engine, "connect", lambda connection, record: self._wait(connection))
        yield engine
        engine.dispose()

    def _wait(self, connection: psycopg.Connection) -> None:
        connection.execute("SET synchronous_commit = on")
        connection.commit()

    @pytest.mark.parametrize("is_rung", [True, False])
    def test_a_job_is_on_it_when_it_is_announced(
        self, waiting: Engine, subject: Subject, settings: Settings, is_rung: bool
    ) -> None:
        with unit_of_work(waiting)() as session:
            job = make_job(session, subject)
            quotas.of_jobs(session, subject.project_id, settings)
            assert session.scalar(text("SHOW synchronous_commit")) == "off"
            written = session.scalar(text("SELECT pg_current_wal_insert_lsn()::text"))
        outbox.announce(autocommit(waiting), lambda topic, identifier: is_rung, "lipe.prior", job.id)
        with unit_of_work(waiting)() as session:
            assert session.scalar(text("SHOW synchronous_commit")) == "on"
            flushed = text("SELECT pg_current_wal_flush_lsn() >= CAST(:written AS pg_lsn)")
            assert session.scalar(flushed, {"written": written})
            assert [entry.identifier for entry in outbox.due(session)] == ([] if is_rung else [job.id])
