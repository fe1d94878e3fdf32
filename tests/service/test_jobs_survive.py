"""Real processes: the state of a job and its files after a drain, a cancel and an error."""

import signal
from collections.abc import Callable
from subprocess import Popen

import pytest

from ledger import jobs
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.support.factories import current, edit, history, learn, make_subject
from tests.support.kills import at_step, ended
from tests.support.waiting import PATIENCE_SECONDS, eventually

Program = Callable[..., Popen[bytes]]


@pytest.mark.slow
def test_a_draining_worker_of_both_kinds_returns_the_job_uncharged(
    begin: UnitOfWork, storage: Storage, project: Project, program: Program, settings: Settings
) -> None:
    subject = make_subject(begin, storage, project)
    job = learn(begin, project, subject, steps=100_000)  # more than it can do
    program("dispatcher")
    worker = program("worker", "--queues", "priors,edits")
    at_step(begin, job, 10)
    waiting = edit(begin, storage, project, subject, None, steps=1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_SECONDS) == 0
    released = current(begin, job)
    assert (released.state, released.attempt, released.epoch) == (State.QUEUED, 0, 1)
    assert len(list((settings.data_dir / "checkpoints").glob(f"{job.id}.*"))) == 1
    with begin() as session:
        jobs.cancel(session, project.id, job.id)
    assert current(begin, job).state == State.CANCELED
    assert (current(begin, waiting).state, current(begin, waiting).attempt) == (State.QUEUED, 0)
    program("worker", "--queues", "priors,edits")
    following = learn(begin, project, subject, steps=2)
    assert [ended(begin, each).state for each in (waiting, following)] == [State.SUCCEEDED] * 2


@pytest.mark.slow
def test_a_cancelled_training_stops_and_leaves_no_files(
    begin: UnitOfWork, storage: Storage, project: Project, program: Program, settings: Settings
) -> None:
    job = learn(begin, project, make_subject(begin, storage, project), steps=100_000)
    program("dispatcher")
    program("worker", "--queues", "priors")
    at_step(begin, job, 55)
    with begin() as session:
        jobs.cancel(session, project.id, job.id)
    assert ended(begin, job).state == State.CANCELED
    eventually(lambda: not list((settings.data_dir / "checkpoints").glob("*.safetensors")))
    types = [event.type for event in history(begin, job) if event.type != "prior.warning"]  # its images are noise
    assert types == ["prior.queued", "prior.running", "prior.canceled"]
    assert list(storage.keys(f"projects/{project.id}/jobs/{job.id}/")) == []
    next_job = learn(begin, project, make_subject(begin, storage, project), steps=3)
    assert ended(begin, next_job).state == State.SUCCEEDED


@pytest.mark.slow
def test_a_job_with_bad_parameters_fails_with_its_code(
    begin: UnitOfWork, storage: Storage, project: Project, program: Program
) -> None:
    subject = make_subject(begin, storage, project)
    unknown = learn(begin, project, subject, momentum=0.9)
    without_token = edit(begin, storage, project, subject, None, prompts=["a photo of a cat"])
    program("dispatcher")
    program("worker", "--queues", "priors,edits")
    assert ended(begin, unknown).error_code == "invalid_parameters"
    assert "momentum" in (current(begin, unknown).error_detail or "")
    assert ended(begin, without_token).error_code == "invalid_request"
