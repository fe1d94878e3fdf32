"""A checkpoint is deleted soon after its training, also if no job of this worker follows."""

from dataclasses import replace

import pytest

from ledger import erasures
from ledger.database import UnitOfWork
from ledger.models import Project, Subject
from tests.support.factories import learn
from tests.support.waiting import eventually
from worker import checkpoints
from worker.context import WorkerContext


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
