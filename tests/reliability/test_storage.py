"""A faulty object storage: status 500 or 403, slow or truncated responses. The job repeats no step."""

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
from tests.reliability.limits import SHORT_LEASE_SECONDS, RunAudit, Start
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
    "halved": Fault(halved=True),
    "flipped": Fault(flipped=True),
}
SLOW = [pytest.mark.slow]


@pytest.fixture
def proxy(server_settings: Settings) -> Iterator[HttpProxy]:
    """A proxy for the embedded S3."""
    with HttpProxy(server_settings.s3_endpoint_url).running() as proxy:
        yield proxy


@pytest.fixture
def settings(settings: Settings, proxy: HttpProxy) -> Settings:
    """The programs use the proxy; the tests' own `storage` does not."""
    return settings.model_copy(update={"s3_endpoint_url": proxy.url})


@pytest.fixture
def short_retries() -> list[Body]:
    """A worker gives up after two retries."""
    return [put("worker.attempt:STORAGE_RETRY_SECONDS", (1, 1))]


@pytest.mark.parametrize(
    "fault", ["halved", *(pytest.param(name, marks=SLOW) for name in ("500", "403", "cut", "flipped"))]
)
@pytest.mark.parametrize("phase", [pytest.param("reading", marks=SLOW), "storing"])
def test_a_short_outage(
    fault: str, phase: str, proxy: HttpProxy, start: Start, begin: UnitOfWork, storage: Storage, project: Project,
    settings: Settings, run_audit: RunAudit,
) -> None:  # fmt: skip
    """Some faulty responses, then good ones: the job succeeds in its first attempt."""
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    touched = "/images/" if phase == "reading" else job.id
    count = 5 if fault == "500" else 3  # botocore itself retries three times after a status 500
    proxy.faults = for_some(touched, count, PASSING[fault])
    start(dispatcher())
    start(worker(["priors"], [put("worker.attempt:STORAGE_RETRY_SECONDS", (1, 1, 1, 1))]))
    done = ended(begin, job)
    assert (done.state, done.attempt, done.error_detail) == (State.SUCCEEDED, 1, None)
    assert engine.recorded_steps(settings.data_dir, job.id) == ONCE
    assert len(verified(begin, storage, job)) == 2
    run_audit()


class TestSlowResponse:
    """A response of the storage that takes longer than the lease."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"lease_seconds": SHORT_LEASE_SECONDS})

    @pytest.mark.parametrize("phase", [pytest.param("reading", marks=SLOW), "storing"])
    def test_the_lease_is_kept(
        self, phase: str, proxy: HttpProxy, start: Start, begin: UnitOfWork, storage: Storage, project: Project,
        settings: Settings, run_audit: RunAudit,
    ) -> None:  # fmt: skip
        job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
        slow = Fault(seconds=SHORT_LEASE_SECONDS + 2)
        proxy.faults = for_some("/images/" if phase == "reading" else job.id, 1, slow)
        start(dispatcher())
        start(worker(["priors"]))
        done = ended(begin, job)
        assert (done.state, done.attempt, done.error_detail) == (State.SUCCEEDED, 1, None)
        assert engine.recorded_steps(settings.data_dir, job.id) == ONCE
        assert len(verified(begin, storage, job)) == 2
        run_audit()


@pytest.mark.parametrize("fault", ["500", "cut", pytest.param("403", marks=SLOW)])
def test_a_long_outage(
    fault: str, proxy: HttpProxy, start: Start, begin: UnitOfWork, storage: Storage, project: Project,
    settings: Settings, run_audit: RunAudit, short_retries: list[Body],
) -> None:  # fmt: skip
    """The result cannot be stored: the job fails once with its code. After the outage the next job succeeds."""
    subject = make_subject(begin, storage, project)
    job = learn(begin, project, subject, steps=STEPS)
    proxy.faults = for_some(job.id, 10**6, PASSING[fault])
    start(dispatcher())
    start(worker(["priors"], short_retries))
    failed = ended(begin, job)
    assert (failed.state, failed.error_code, failed.attempt) == (State.FAILED, "storage_unavailable", 1)
    assert engine.recorded_steps(settings.data_dir, job.id) == ONCE
    following = learn(begin, project, subject, steps=5)
    assert ended(begin, following).state == State.SUCCEEDED
    run_audit()


@pytest.mark.parametrize("fault", ["halved", pytest.param("flipped", marks=SLOW)])
@pytest.mark.parametrize("input_of", ["training", "edit"])
def test_a_damaged_input(
    fault: str, input_of: str, proxy: HttpProxy, start: Start, begin: UnitOfWork, storage: Storage, project: Project,
    settings: Settings, run_audit: RunAudit, short_retries: list[Body],
) -> None:  # fmt: skip
    """An image or an adapter is not what was stored: no step uses it, and the job fails with its code."""
    subject = make_subject(begin, storage, project)
    start(dispatcher())
    start(worker(["priors", "edits"], short_retries))
    job = learn(begin, project, subject, steps=5)
    if input_of == "edit":
        learned = ended(begin, job)
        assert learned.state == State.SUCCEEDED
        proxy.faults = for_some(job.id, 10**6, PASSING[fault])
        job = edit(begin, storage, project, subject, learned.prior_id)
    else:
        proxy.faults = for_some("/images/", 10**6, PASSING[fault])
    failed = ended(begin, job)
    assert (failed.state, failed.error_code, failed.attempt) == (State.FAILED, "object_damaged", 1)
    assert engine.recorded_steps(settings.data_dir, job.id) == []
    proxy.faults = for_some("", 0, PASSING[fault])
    run_audit()


def test_a_cancel_during_a_slow_upload_leaves_no_object(
    proxy: HttpProxy, start: Start, begin: UnitOfWork, storage: Storage, project: Project, run_audit: RunAudit
) -> None:
    job = learn(begin, project, make_subject(begin, storage, project), steps=5)
    proxy.faults = for_some(job.id, 1, Fault(seconds=5.0))
    start(dispatcher())
    start(worker(["priors"]))
    eventually(lambda: any(job.id in path for _, path in proxy.seen))
    with begin() as session:
        jobs.cancel(session, project.id, job.id)
    assert ended(begin, job).state == State.CANCELED
    eventually(lambda: not list(storage.keys(job_prefix(project.id, job.id))))
    assert current(begin, job).attempt == 1
    run_audit()


def for_some(touched: str, count: int, fault: Fault) -> Any:
    """A function that returns the fault for the first `count` requests whose path contains `touched`."""
    left = [count]

    def decide(method: str, path: str) -> Fault | None:
        if touched not in path or left[0] == 0:
            return None
        left[0] -= 1
        return fault

    return decide
