"""The live workers and the models that they serve."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import func, select, update

from ledger import attempts, workers
from ledger.database import UnitOfWork
from ledger.models import Project, Worker
from ledger.storage import Storage
from tests.support.factories import learn, make_subject

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


def test_the_dispatcher_forgets_workers_that_were_lost_long_ago(
    begin: UnitOfWork, dispatcher_begin: UnitOfWork
) -> None:
    with begin() as session:
        for name in ("a:1", "a:2", "a:3"):
            workers.report(session, name, ["prior"], SMALL)
    make_silent(begin, "a:1", workers.REMEMBERED_SECONDS + 1)
    make_silent(begin, "a:2")
    with dispatcher_begin() as session:
        assert workers.forget_lost(session) == 1
        assert list(session.scalars(select(Worker.name).order_by(Worker.name))) == ["a:2", "a:3"]


def test_the_state_of_each_worker(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    job = learn(begin, project, make_subject(begin, storage, project))
    facts = workers.Facts("a", "1", "NVIDIA L40S", 48 * 2**30, ["00ff"])
    with begin() as session:
        for number in range(1, 5):
            workers.report(session, f"a:{number}", ["edit", "captions"], SMALL, facts)
        workers.report(session, "a:3", ["edit"], SMALL, replace(facts, is_draining=True))
        assert attempts.claim(session, job.id, "a:2", lease_seconds=60)
    make_silent(begin, "a:4")
    with begin() as session:
        listed = workers.listing(session)
        assert [(worker.name, worker.state, worker.job_id) for worker in listed] == [
            ("a:1", "idle", None), ("a:2", "busy", job.id), ("a:3", "draining", None), ("a:4", "lost", None),
        ]  # fmt: skip
        assert (listed[0].pool, listed[0].base_model, listed[0].adapters) == ("captions+edit", "small", ["00ff"])
        (served,) = workers.served_models(session)
        assert served.workers == 2


def test_a_worker_that_leaves_is_not_live(begin: UnitOfWork) -> None:
    with begin() as session:
        workers.report(session, "a:1", ["prior"], SMALL)
        workers.report(session, "a:2", ["prior"], SMALL)
        workers.leave(session, "a:1")
        (served,) = workers.served_models(session)
        assert served.workers == 1


def make_silent(begin: UnitOfWork, name: str, seconds: float = workers.LIVE_SECONDS + 1) -> None:
    silence = timedelta(seconds=seconds)
    with begin() as session:
        session.execute(update(Worker).where(Worker.name == name).values(seen_at=func.clock_timestamp() - silence))
