"""The same key and request have one effect and the same answer; a transaction that dies leaves nothing."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from ledger import idempotency
from ledger.database import UnitOfWork
from ledger.idempotency import Answer, InFlight, Mismatch
from ledger.models import Project

ANSWER = Answer(202, {"id": "job_1"}, {"location": "/v1/jobs/job_1"})


def test_the_answer_is_replayed(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        assert idempotency.recall(session, project.id, "key", b"request") is None
        idempotency.remember(session, project.id, "key", b"request", ANSWER)
    with begin() as session:
        assert idempotency.recall(session, project.id, "key", b"request") == ANSWER


def test_another_request_under_the_key_is_refused(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        idempotency.recall(session, project.id, "key", b"request")
        idempotency.remember(session, project.id, "key", b"request", ANSWER)
    with pytest.raises(Mismatch), begin() as session:
        idempotency.recall(session, project.id, "key", b"another request")


def test_a_key_in_flight_is_refused_and_free_after_a_rollback(begin: UnitOfWork, project: Project) -> None:
    with begin() as first:
        assert idempotency.recall(first, project.id, "key", b"request") is None
        with pytest.raises(InFlight), begin() as second:
            idempotency.recall(second, project.id, "key", b"request")
        first.rollback()
    with begin() as third:
        assert idempotency.recall(third, project.id, "key", b"request") is None


def test_a_key_that_is_answered_meanwhile_is_refused(engine: Engine, begin: UnitOfWork, project: Project) -> None:
    with Session(engine.execution_options(isolation_level="REPEATABLE READ")) as late:
        late.execute(text("SELECT 1"))  # its snapshot is taken here, before the other commits
        with begin() as first:
            idempotency.recall(first, project.id, "key", b"request")
            idempotency.remember(first, project.id, "key", b"request", ANSWER)
        assert idempotency.recall(late, project.id, "key", b"request") is None
        with pytest.raises(InFlight):
            idempotency.remember(late, project.id, "key", b"request", ANSWER)
    with begin() as again:
        assert idempotency.recall(again, project.id, "key", b"request") == ANSWER


def test_keys_belong_to_projects(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        idempotency.recall(session, project.id, "key", b"request")
        idempotency.remember(session, project.id, "key", b"request", ANSWER)
        assert idempotency.recall(session, "prj_other", "key", b"request") is None


def test_an_expired_answer_is_forgotten(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        for key in ("old", "older", "new"):
            idempotency.recall(session, project.id, key, b"request")
            idempotency.remember(session, project.id, key, b"request", ANSWER, hours=24 if key == "new" else -1)
    with begin() as session:
        assert idempotency.recall(session, project.id, "old", b"another request") is None
        assert idempotency.forget_expired(session) == 1  # `recall` removed the other one
        assert idempotency.recall(session, project.id, "new", b"request") == ANSWER
