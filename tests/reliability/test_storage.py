"""An object storage that answers 500 or 403, slowly, or in halves: no GPU work is done again, and the end is clear."""

from collections.abc import Iterator
from typing import Any

import pytest

from ledger import jobs
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage, job_prefix
from tests.reliability import engine
from tests.reliability.limits import LEASE_SECONDS, Audited, Start
from tests.reliability.programs import Body, dispatcher, put, worker
from tests.reliability.proxy import Fault, HttpProxy
from tests.support.factories import current, edit, learn, make_subject, verified
from tests.support.kills import ended
from tests.support.waiting import eventually

STEPS = 20
ONCE = [(1, step) for step in range(1, STEPS + 1)]
PASSING = {
    "500": Fault(status=500),
    "403": Fault(status=403),
    "cut": Fault(cut=True),
    "slow": Fault(seconds=2 * LEASE_SECONDS),
    "halved": Fault(halved=True),
    "flipped": Fault(flipped=True),
}
SLOW = [pytest.mark.slow]


@pytest.fixture
def proxy(server_settings: Settings) -> Iterator[HttpProxy]:
    """In front of the embedded S3."""
    with HttpProxy(server_settings.s3_endpoint_url).running() as proxy:
        yield proxy


@pytest.fixture
def settings(settings: Settings, proxy: HttpProxy) -> Settings:
    """The programs' storage is behind the proxy; the tests' own way, `storage`, goes past it."""
    return settings.model_copy(update={"s3_endpoint_url": proxy.url})


@pytest.fixture
def impatient() -> list[Body]:
    """What a worker waits out is short."""
    return [put("worker.attempt:STORAGE_WAITS", (1, 1))]


@pytest.mark.parametrize(
    "fault", ["slow", "halved", *(pytest.param(name, marks=SLOW) for name in ("500", "403", "cut", "flipped"))]
)
@pytest.mark.parametrize("phase", ["reading", "storing"])
def test_an_outage_that_passes(
    fault: str, phase: str, proxy: HttpProxy, start: Start, begin: UnitOfWork, storage: Storage, project: Project,
    settings: Settings, audited: Audited,
) -> None:  # fmt: skip
    """After some such answers a good one: the job waits it out, its lease kept, and is done in its first attempt."""
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    touched = "/images/" if phase == "reading" else job.id
    count = {"slow": 1, "500": 5}.get(fault, 3)  # botocore itself tries four times where the status says so
    proxy.faults = for_some(touched, count, PASSING[fault])
    start(dispatcher())
    start(worker(["priors"], [put("worker.attempt:STORAGE_WAITS", (1, 1, 1, 1))]))
    done = ended(begin, job)
    assert (done.state, done.attempt, done.error_detail) == (State.SUCCEEDED, 1, None)
    assert engine.diary(settings.data_dir, job.id) == ONCE
    assert len(verified(begin, storage, job)) == 2
    audited()


@pytest.mark.parametrize("fault", ["500", "cut", pytest.param("403", marks=SLOW)])
def test_an_outage_that_lasts(
    fault: str, proxy: HttpProxy, start: Start, begin: UnitOfWork, storage: Storage, project: Project,
    settings: Settings, audited: Audited, impatient: list[Body],
) -> None:  # fmt: skip
    """What is made cannot be stored: the job fails with its code, once; when the storage is back the next succeeds."""
    subject = make_subject(begin, storage, project)
    job = learn(begin, project, subject, steps=STEPS)
    proxy.faults = for_some(job.id, 10**6, PASSING[fault])
    start(dispatcher())
    start(worker(["priors"], impatient))
    failed = ended(begin, job)
    assert (failed.state, failed.error_code, failed.attempt) == (State.FAILED, "storage_unavailable", 1)
    assert engine.diary(settings.data_dir, job.id) == ONCE
    following = learn(begin, project, subject, steps=5)
    assert ended(begin, following).state == State.SUCCEEDED
    audited()


@pytest.mark.parametrize("fault", ["halved", pytest.param("flipped", marks=SLOW)])
@pytest.mark.parametrize("input_of", ["training", "edit"])
def test_an_input_that_stays_damaged(
    fault: str, input_of: str, proxy: HttpProxy, start: Start, begin: UnitOfWork, storage: Storage, project: Project,
    settings: Settings, audited: Audited, impatient: list[Body],
) -> None:  # fmt: skip
    """A picture or an adapter is not what was stored: no step is done with it, and the job's code says why."""
    subject = make_subject(begin, storage, project)
    start(dispatcher())
    start(worker(["priors", "edits"], impatient))
    job = learn(begin, project, subject, steps=5)
    if input_of == "edit":
        learnt = ended(begin, job)
        assert learnt.state == State.SUCCEEDED
        proxy.faults = for_some(job.id, 10**6, PASSING[fault])
        job = edit(begin, storage, project, subject, learnt.prior_id)
    else:
        proxy.faults = for_some("/images/", 10**6, PASSING[fault])
    failed = ended(begin, job)
    assert (failed.state, failed.error_code, failed.attempt) == (State.FAILED, "object_damaged", 1)
    assert engine.diary(settings.data_dir, job.id) == []
    proxy.faults = for_some("", 0, PASSING[fault])
    audited()


def test_a_cancel_during_a_slow_upload_leaves_nothing(
    proxy: HttpProxy, start: Start, begin: UnitOfWork, storage: Storage, project: Project, audited: Audited
) -> None:
    job = learn(begin, project, make_subject(begin, storage, project), steps=5)
    proxy.faults = for_some(job.id, 1, Fault(seconds=LEASE_SECONDS))
    start(dispatcher())
    start(worker(["priors"]))
    eventually(lambda: any(job.id in path for _, path in proxy.seen))
    with begin() as session:
        jobs.cancel(session, project.id, job.id)
    assert ended(begin, job).state == State.CANCELED
    eventually(lambda: not list(storage.keys(job_prefix(project.id, job.id))))
    assert current(begin, job).attempt == 1
    audited()


def for_some(touched: str, count: int, fault: Fault) -> Any:
    """That fault for the first `count` requests whose path names it."""
    left = [count]

    def decide(method: str, path: str) -> Fault | None:
        if touched not in path or left[0] == 0:
            return None
        left[0] -= 1
        return fault

    return decide
