"""Checkpoints are deleted soon after their training, and another machine resumes from the stored one."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import erasures, partial_results, transitions
from ledger.database import UnitOfWork
from ledger.models import Job, Project, Subject
from ledger.states import State
from ledger.storage import Storage, job_prefix
from tests.support.factories import current, learn
from tests.support.running import run_job
from tests.support.waiting import eventually
from worker import checkpoints
from worker.attempt import Attempt
from worker.context import WorkerContext


class Killed(BaseException):
    """The machine is gone."""


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine has time for the last upload."""
    monkeypatch.setattr(checkpoints, "ANSWER_SECONDS", 300.0)
    monkeypatch.setattr(checkpoints, "LAST_UPLOAD_SECONDS", 300.0)


@pytest.fixture
def another_machine(context: WorkerContext, tmp_path: Path) -> WorkerContext:
    """A worker with a data folder of its own."""
    settings = context.settings.model_copy(update={"data_dir": tmp_path / "another"})
    return replace(context, settings=settings, name="another:1")


def at_each_step(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Call `act` with each step that the training reports."""
    report = Attempt.report

    def watched(attempt: Attempt, stage: str, done: int, total: int, **details: Any) -> None:
        report(attempt, stage, done, total, **details)
        if stage == "training" and done:
            act(done)

    monkeypatch.setattr(Attempt, "report", watched)


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Call `act` when the training reports this step."""
    at_each_step(monkeypatch, lambda done: act() if done == step else None)


def objects(storage: Storage, job: Job) -> list[str]:
    return [key.rsplit("-", 1)[1] for key in storage.keys(job_prefix(job.project_id, job.id))]


def test_the_checkpoint_of_a_deleted_training_disappears(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "FORGET_SECONDS", 0.01)
    monkeypatch.setattr(checkpoints, "DRAINING_CHECK_SECONDS", 0.01)
    kept, deleted = learn(begin, project, subject), learn(begin, project, subject)
    context.checkpoints.mkdir(parents=True, exist_ok=True)
    files = [context.checkpoints / f"{job.id}.0123456789ab.safetensors" for job in (kept, deleted)]
    for file in files:
        file.write_bytes(b"weights")
    draining: list[bool] = []
    thread = checkpoints.keep_forgetting(replace(context, draining=lambda: bool(draining)))
    with begin() as session:
        assert erasures.erase_prior(session, project.id, deleted.prior_id or "")
    eventually(lambda: not files[1].exists())
    draining.append(True)
    thread.join()
    assert files[0].exists()
    files[0].unlink()


def test_a_training_that_drained_is_resumed_on_another_machine_with_equal_weights(
    context: WorkerContext, another_machine: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project,
    subject: Subject, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    unbroken, moved = learn(begin, project, subject, steps=6), learn(begin, project, subject, steps=6)
    run_job(context, unbroken.id)
    drains: list[bool] = []
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: drains.append(True))
        run_job(replace(context, draining=lambda: bool(drains)), moved.id)
    assert current(begin, moved).state == State.QUEUED
    assert objects(storage, moved) == ["checkpoint"]
    steps: list[int] = []
    with monkeypatch.context() as patch:
        at_each_step(patch, steps.append)
        run_job(another_machine, moved.id)
    assert steps[0] > 3
    done = current(begin, moved)
    assert (done.state, done.partial) == (State.SUCCEEDED, {})
    assert done.resolved["adapter_sha256"] == current(begin, unbroken).resolved["adapter_sha256"]
    assert "checkpoint" not in objects(storage, moved)


@pytest.mark.parametrize("is_readable", [True, False], ids=["older", "unreadable"])
def test_a_training_that_returns_to_a_machine_does_not_resume_from_its_old_file(
    context: WorkerContext, another_machine: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch, is_readable: bool,
) -> None:  # fmt: skip
    job, steps = learn(begin, project, subject, steps=9), list[int]()

    def run_until(machine: WorkerContext, step: int) -> None:
        drains: list[bool] = []
        with monkeypatch.context() as patch:
            at_step(patch, step, lambda: drains.append(True))
            run_job(replace(machine, draining=lambda: bool(drains)), job.id)

    run_until(context, 2)
    (old,) = context.checkpoints.glob("*.safetensors")
    if not is_readable:
        old.write_bytes(old.read_bytes()[:100])
    run_until(another_machine, 6)
    with monkeypatch.context() as patch:
        at_each_step(patch, steps.append)
        run_job(context, job.id)
    assert steps[0] > 6
    assert current(begin, job).state == State.SUCCEEDED


def test_a_newer_file_of_this_machine_is_not_replaced(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that gives way is not uploaded: this machine continues it soon."""
    job, drains, steps = learn(begin, project, subject, steps=9), list[bool](), list[int]()
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: drains.append(True))
        run_job(replace(context, draining=lambda: bool(drains)), job.id)
    (file,) = context.checkpoints.glob("*.safetensors")
    with begin() as session:
        row = session.get_one(Job, job.id)
        saved = partial_results.read_checkpoint(row)
        assert saved is not None
        assert saved.step == checkpoints._step(file) > 0
        partial_results.write_checkpoint(row, replace(saved, step=saved.step - 1))
    monkeypatch.setattr(context.storage.__class__, "download", lambda *_: pytest.fail("it must not be downloaded"))
    with monkeypatch.context() as patch:
        at_each_step(patch, steps.append)
        run_job(context, job.id)
    assert steps[0] > 2


def test_a_machine_that_is_lost_leaves_its_newest_stored_checkpoint(
    context: WorkerContext, another_machine: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project,
    subject: Subject, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job = learn(begin, project, subject, steps=60)

    def stored_twice() -> bool:
        saved = partial_results.read_checkpoint(current(begin, job))
        return saved is not None and [saved.stored.key] == list(storage.keys(job_prefix(job.project_id, job.id)))

    def die() -> None:
        eventually(stored_twice)
        raise Killed

    monkeypatch.setattr(checkpoints, "UPLOAD_SECONDS", 0.01)
    with monkeypatch.context() as patch:
        at_step(patch, 55, die)
        with pytest.raises(Killed):
            run_job(context, job.id)
    shutil.rmtree(context.settings.data_dir)
    with begin() as session:
        transitions.requeue(session, session.get_one(Job, job.id), charge=True)
    steps: list[int] = []
    with monkeypatch.context() as patch:
        at_each_step(patch, steps.append)
        run_job(another_machine, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    assert steps[0] > 50  # a training writes its checkpoint every 50 steps
    assert "checkpoint" not in objects(storage, job)


def test_a_stored_checkpoint_that_is_lost_costs_the_steps_and_not_the_job(
    context: WorkerContext, another_machine: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project,
    subject: Subject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    job, drains = learn(begin, project, subject, steps=4), list[bool]()
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: drains.append(True))
        run_job(replace(context, draining=lambda: bool(drains)), job.id)
    storage.delete_prefix(job_prefix(job.project_id, job.id))
    monkeypatch.setattr("worker.attempt.STORAGE_RETRY_SECONDS", (0,))
    run_job(another_machine, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    assert "starts again, because the newest is lost" in caplog.text
