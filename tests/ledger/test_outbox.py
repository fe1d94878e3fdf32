"""No message is lost while the broker is unavailable: it stays in the outbox."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from cli.embedded import valkey
from ledger import outbox
from ledger.database import UnitOfWork, autocommit
from ledger.models import Job, OutboxEntry
from ledger.notify import QUEUES, is_ready, make_notifier
from ledger.settings import Settings


def test_a_message_is_sent_when_the_broker_is_back(
    begin: UnitOfWork, settings: Settings, job: Job, tmp_path: Path
) -> None:
    with valkey.serve(tmp_path / "first") as url:
        stopped = settings.model_copy(update={"broker_url": url})
        notify = make_notifier(stopped)
        assert notify("lipe.prior", "job_warm_up")  # the connection is open when the broker stops
    assert not is_ready(stopped)
    assert outbox.publish(begin, notify) == 0
    assert waiting(begin) == 1
    assert outbox.publish(begin, make_notifier(settings)) == 1
    assert waiting(begin) == 0


def test_an_entry_that_another_dispatcher_has_locked_is_skipped(begin: UnitOfWork, job: Job) -> None:
    with begin() as first:
        assert len(outbox.due(first)) == 1
        assert outbox.publish(begin, lambda task, identifier: True) == 0
    assert outbox.publish(begin, lambda task, identifier: True) == 1


def test_publishing_stops_at_the_first_failure(begin: UnitOfWork) -> None:
    with begin() as session:
        for number in range(3):
            outbox.add(session, "lipe.edit", f"job_{number}")
    tried = []

    def notify(task: str, identifier: str) -> bool:
        tried.append(identifier)
        return identifier == "job_0"

    assert outbox.publish(begin, notify) == 1
    assert tried == ["job_0", "job_1"]
    assert waiting(begin) == 2


@pytest.mark.parametrize("is_sent", [True, False])
def test_an_entry_stays_unless_its_message_was_sent(engine: Engine, begin: UnitOfWork, job: Job, is_sent: bool) -> None:
    outbox.publish_one(autocommit(engine), lambda task, identifier: is_sent, "lipe.prior", job.id)
    assert waiting(begin) == (0 if is_sent else 1)


def test_each_kind_of_job_has_its_own_queue() -> None:
    """The program that may call other servers takes all that needs it: webhooks and files by URL."""
    assert {task for task, queue in QUEUES.items() if queue == "webhooks"} == {"lipe.webhook", "lipe.fetch"}
    assert {task for task, queue in QUEUES.items() if queue == "edits"} == {"lipe.edit", "lipe.captions", "lipe.mask"}


def waiting(begin: UnitOfWork) -> int:
    with begin() as session:
        return session.scalar(select(func.count()).select_from(OutboxEntry)) or 0
