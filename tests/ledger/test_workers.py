"""The live workers and the models that they serve."""

from datetime import timedelta

from sqlalchemy import func, select, update

from ledger import workers
from ledger.database import UnitOfWork
from ledger.models import Worker

SMALL, LARGE = {"name": "small", "fingerprint": "1"}, {"name": "large", "fingerprint": "2"}


def test_workers_with_the_same_model_are_one_entry(begin: UnitOfWork) -> None:
    with begin() as session:
        workers.report(session, "a:1", ["prior"], SMALL)
        workers.report(session, "a:2", ["edit"], SMALL)
        workers.report(session, "b:1", ["edit"], LARGE)
    with begin() as session:
        assert workers.served_models(session) == [
            workers.ServedModel(LARGE, ("edit",), 1),
            workers.ServedModel(SMALL, ("edit", "prior"), 2),
        ]


def test_a_further_report_replaces_the_first(begin: UnitOfWork) -> None:
    with begin() as session:
        workers.report(session, "a:1", ["prior"], SMALL)
    with begin() as session:
        workers.report(session, "a:1", ["edit"], LARGE)
        assert workers.served_models(session) == [workers.ServedModel(LARGE, ("edit",), 1)]


def test_a_silent_worker_is_not_live_until_it_reports_again(begin: UnitOfWork) -> None:
    with begin() as session:
        workers.report(session, "a:1", ["prior"], SMALL)
    make_silent(begin, "a:1")
    with begin() as session:
        assert workers.served_models(session) == []
    with begin() as session:
        workers.report(session, "a:1", ["prior"], SMALL)
        assert len(workers.served_models(session)) == 1


def test_the_rows_of_silent_workers_are_deleted(begin: UnitOfWork) -> None:
    with begin() as session:
        workers.report(session, "a:1", ["prior"], SMALL)
    make_silent(begin, "a:1")
    with begin() as session:
        workers.report(session, "a:2", ["prior"], SMALL)
        assert list(session.scalars(select(Worker.name))) == ["a:2"]


def test_a_worker_that_leaves_is_not_live(begin: UnitOfWork) -> None:
    with begin() as session:
        workers.report(session, "a:1", ["prior"], SMALL)
        workers.report(session, "a:2", ["prior"], SMALL)
        workers.leave(session, "a:1")
        (served,) = workers.served_models(session)
        assert served.workers == 1


def make_silent(begin: UnitOfWork, name: str) -> None:
    silence = timedelta(seconds=workers.LIVE_SECONDS + 1)
    with begin() as session:
        session.execute(update(Worker).where(Worker.name == name).values(seen_at=func.clock_timestamp() - silence))
