"""A broker that goes away loses nothing: what cannot be rung waits in the outbox."""

from pathlib import Path

from sqlalchemy import func, select

from cli.embedded import valkey
from ledger import outbox
from ledger.database import UnitOfWork
from ledger.doorbell import QUEUES, is_ready, make_doorbell
from ledger.jobs import Job
from ledger.settings import Settings


def test_a_doorbell_waits_for_the_broker_and_is_rung_when_it_is_back(
    begin: UnitOfWork, settings: Settings, job: Job, tmp_path: Path
) -> None:
    with valkey.serve(tmp_path / "first") as url:
        here = settings.model_copy(update={"broker_url": url})
        ring = make_doorbell(here)
        assert ring("lipe.prior", "job_warm_up")  # the connection is open when the broker dies
    assert not is_ready(here)
    assert outbox.publish(begin, ring) == 0
    assert waiting(begin) == 1
    back = make_doorbell(settings)
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
