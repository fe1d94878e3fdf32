"""The next job's objects are fetched while a job runs: through a proxy that counts requests and answers late."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import inspect

from ledger import edits, erasures, jobs, priors
from ledger.claims import Abilities
from ledger.database import UnitOfWork
from ledger.models import Image, Job, Project, Subject
from ledger.settings import Settings
from ledger.states import JobKind, State
from ledger.storage import Storage
from tests.reliability.proxy import Fault, HttpProxy
from tests.support.factories import current, edit, learn, make_subject
from tests.support.waiting import eventually
from worker.attempt import Attempt
from worker.context import WorkerContext
from worker.job_inputs import needed_objects
from worker.prefetch import Prefetch
from worker.prefetched import Needed
from worker.work import Work

KINDS: tuple[JobKind, ...] = ("prior", "edit")


@pytest.fixture
def proxy(server_settings: Settings) -> Iterator[HttpProxy]:
    """The way of the worker to the storage. Each image takes a while."""
    with HttpProxy(server_settings.s3_endpoint_url).running() as proxy:
        proxy.faults = lambda method, path: Fault(seconds=0.1) if "/images/" in path else None
        yield proxy


@pytest.fixture
def context(context: WorkerContext, proxy: HttpProxy) -> WorkerContext:
    """A worker whose storage is behind the proxy."""
    settings = context.settings.model_copy(update={"s3_endpoint_url": proxy.url})
    context.gpu.base_model()
    return replace(context, settings=settings, storage=Storage(settings))


@pytest.fixture
def prefetch(context: WorkerContext) -> Prefetch:
    """A thread that is not started: the test looks itself."""
    return Prefetch(context, lambda: Abilities(KINDS, context.gpu.fingerprint, context.gpu.adapters))


def reads(proxy: HttpProxy, needed: list[Needed]) -> list[int]:
    """How often each object was read."""
    counts = Counter(path.split("?")[0] for method, path in proxy.seen if method == "GET")
    return [sum(count for path, count in counts.items() if path.endswith(key)) for key, _ in needed]


def objects(begin: UnitOfWork, job: Job) -> list[Needed]:
    """The objects of the job."""
    with begin() as session:
        return needed_objects(session, job.project_id, job.id)


def running(context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject) -> str:
    """A training that this worker claimed, and that has its objects."""
    training = learn(begin, project, subject, steps=1)
    claim = Work(context, ["prior"])._claim(["prior"])
    assert claim is not None
    assert claim.job_id == training.id
    context.prefetched.begin(training.id)
    context.prefetched.loaded()
    return training.id


def test_the_next_job_is_read_once_and_while_another_one_runs(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, proxy: HttpProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """An edit, then a training, which finds its references in memory."""
    first = edit(begin, storage, project, subject, None, ["a photo of sks dog jumping"], method="sdedit")
    second = learn(begin, project, subject, steps=1)
    (image,), references, report = objects(begin, first), objects(begin, second), Attempt.report
    assert len(references) == 3

    def watched(attempt: Attempt, stage: str, step: int, total: int, **details: object) -> None:
        report(attempt, stage, step, total, **details)
        if (attempt.claim.job_id, stage) == (first.id, "editing"):
            eventually(lambda: reads(proxy, references) == [1] * 3)

    monkeypatch.setattr(Attempt, "report", watched)
    drains = list[bool]()
    work = Work(replace(context, draining=lambda: bool(drains)), KINDS)
    work.start()
    work.run_waiting()
    drains.append(True)
    work.finish()
    assert [current(begin, job).state for job in (first, second)] == [State.SUCCEEDED] * 2
    assert reads(proxy, [image, *references]) == [1] * 4
    count = partial(context.metrics.registry.get_sample_value, "lipe_input_cache_total")
    assert [count({"result": result}) for result in ("hit", "miss")] == [3, 1]
    assert context.prefetched.size == 0


def test_a_prior_is_fetched_unless_it_is_in_memory(
    context: WorkerContext, prefetch: Prefetch, begin: UnitOfWork, storage: Storage, project: Project,
    subject: Subject, proxy: HttpProxy,
) -> None:  # fmt: skip
    first = running(context, begin, project, subject)
    stored = storage.put(f"projects/{project.id}/jobs/none/1/", "adapter.safetensors", b"adapter", "text/plain")
    with begin() as session:
        prior = priors.create(session, project.id, subject.id)
        priors.mark_ready(session, prior.id, manifest={}, adapter_key=stored.key, adapter_sha256=stored.sha256)
    second = edit(begin, storage, project, subject, prior.id)
    image, adapter = objects(begin, second)
    assert adapter == (stored.key, stored.sha256)
    prefetch.look(first)
    assert reads(proxy, [image, adapter]) == [1, 1]
    holds = replace(context, gpu=replace(context.gpu, _priors=OrderedDict[str, Any]({stored.sha256: None})))
    context.prefetched.begin(first)
    context.prefetched.loaded()
    Prefetch(holds, prefetch._abilities).look(first)
    assert reads(proxy, [image, adapter]) == [2, 1]


def test_a_job_whose_prefetch_failed_reads_for_itself(
    context: WorkerContext, prefetch: Prefetch, begin: UnitOfWork, storage: Storage, project: Project,
    subject: Subject, proxy: HttpProxy,
) -> None:  # fmt: skip
    first = running(context, begin, project, subject)
    second = edit(begin, storage, project, subject, None, method="sdedit")
    (image,) = objects(begin, second)
    faults = [Fault(flipped=True)]
    proxy.faults = lambda method, path: faults.pop() if faults and path.endswith(image.key) else None
    prefetch.look(first)
    assert (reads(proxy, [image]), context.prefetched.size) == ([1], 0)
    context.prefetched.begin(second.id)
    assert context.input(*image) == storage.get(*image)
    assert reads(proxy, [image]) == [2]


def test_erased_and_cancelled_jobs_leave_the_memory(
    context: WorkerContext, prefetch: Prefetch, begin: UnitOfWork, storage: Storage, project: Project,
    subject: Subject,
) -> None:  # fmt: skip
    first = running(context, begin, project, subject)
    erased = edit(begin, storage, project, make_subject(begin, storage, project), None)
    prefetch.look(first)
    assert context.prefetched.size == _size(begin, erased)
    with begin() as session:
        assert erasures.erase_subject(session, project.id, erased.subject_id)
    prefetch.look(first)
    assert context.prefetched.size == 0
    canceled = edit(begin, storage, project, subject, None)
    prefetch.look(first)
    assert context.prefetched.size == _size(begin, canceled)
    with begin() as session:
        jobs.cancel(session, project.id, canceled.id)
    prefetch.look(first)
    assert context.prefetched.size == 0


def test_objects_above_the_limit_are_not_read(
    context: WorkerContext, prefetch: Prefetch, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    first, second = running(context, begin, project, subject), edit(begin, storage, project, subject, None)
    size = _size(begin, second)
    for limit, expected in ((size - 1, 0), (size, size)):
        settings = context.settings.model_copy(update={"prefetch_bytes": limit})
        context.prefetched.begin(first)
        context.prefetched.loaded()
        Prefetch(replace(context, settings=settings), prefetch._abilities).look(first)
        assert context.prefetched.size == expected


def test_a_look_leaves_the_queue_as_it_is(
    context: WorkerContext, prefetch: Prefetch, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    """The job can still be claimed by every worker, and knows of no attempt."""
    first, second = running(context, begin, project, subject), edit(begin, storage, project, subject, None)
    before = _values(current(begin, second))
    prefetch.look(first)
    assert context.prefetched.size > 0
    assert _values(current(begin, second)) == before


def _values(job: Job) -> dict[str, object]:
    return {column.key: getattr(job, column.key) for column in inspect(Job).column_attrs}


def _size(begin: UnitOfWork, job: Job) -> int:
    with begin() as session:
        row = edits.get(session, job.project_id, job.edit_id or "")
        assert row is not None
        return session.get_one(Image, row.image_id).size
