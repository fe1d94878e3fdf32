"""Snapshots of a training: stored while it runs, kept by the next attempt, and usable as the prior once chosen."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from ledger import artefacts, erasures, priors, snapshots
from ledger.audit import audit
from ledger.database import UnitOfWork
from ledger.models import Artefact, Job, Project, Subject
from ledger.states import State
from ledger.storage import Storage, StorageError, StoredObject, job_prefix
from lipe_core.adapters.prior import ADAPTER, MANIFEST, load_prior
from lipe_core.training.config import PriorConfig
from tests.support.factories import current, learn
from tests.support.running import run_job
from worker.attempt import Attempt
from worker.context import WorkerContext
from worker.snapshots import snapshot_count


@pytest.fixture
def training(begin: UnitOfWork, project: Project, subject: Subject) -> Callable[[], Job]:
    """Makes a queued training of six steps that keeps snapshots of the steps 2 and 4."""

    def submit() -> Job:
        job = learn(begin, project, subject, steps=6)
        with begin() as session:
            session.execute(update(Job).where(Job.id == job.id).values(parameters={**job.parameters, "snapshots": 2}))
        return job

    return submit


def files(begin: UnitOfWork, job: Job, role: str) -> list[Artefact]:
    with begin() as session:
        return [one for one in artefacts.of_job(session, job.project_id, job.id) if one.role == role]


def facts(begin: UnitOfWork, job: Job) -> list[tuple[str, dict[str, Any]]]:
    """Hash and details of each adapter, first step first."""
    adapters = [*files(begin, job, "snapshot"), *files(begin, job, "adapter")]
    return [(one.sha256, one.details) for one in adapters]


def drain_at(step: int, monkeypatch: pytest.MonkeyPatch, context: WorkerContext) -> WorkerContext:
    """A worker that drains when its training has done `step` steps."""
    report, drains = Attempt.report, list[bool]()

    def watched(attempt: Attempt, stage: str, done: int, total: int, **details: Any) -> None:
        report(attempt, stage, done, total, **details)
        if (stage, done) == ("training", step):
            drains.append(True)

    monkeypatch.setattr(Attempt, "report", watched)
    return replace(context, draining=lambda: bool(drains))


def test_snapshots_survive_an_interruption_and_the_chosen_one_is_the_prior(
    context: WorkerContext, training: Callable[[], Job], begin: UnitOfWork, storage: Storage, project: Project,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    unbroken, interrupted = training(), training()
    run_job(context, unbroken.id)
    with monkeypatch.context() as patch:
        run_job(drain_at(3, patch, context), interrupted.id)
    assert current(begin, interrupted).state == State.QUEUED
    run_job(context, interrupted.id)
    made = facts(begin, interrupted)
    assert made == facts(begin, unbroken)
    assert [one["step"] for _, one in made] == [2, 4, 6]
    assert [one["is_recommended"] for _, one in made].count(True) == 1
    assert len({sha256 for sha256, _ in made}) == 3

    with begin() as session:
        assert snapshots.choose(session, project.id, interrupted.prior_id or "", 2)
    with begin() as session:
        row = priors.get(session, project.id, interrupted.prior_id or "")
    assert row is not None
    storage.download(row.adapter_key or "", row.adapter_sha256 or "", tmp_path / ADAPTER)
    (tmp_path / MANIFEST).write_text(json.dumps(row.manifest))
    loaded = load_prior(tmp_path, context.gpu.base_model().fingerprint)
    assert loaded.manifest.adapter_sha256 == made[0][0]
    (of_step_2, _) = files(begin, interrupted, "snapshot_manifest")
    assert json.loads(storage.get(of_step_2.key, of_step_2.sha256)) == row.manifest
    assert audit(begin, storage, patience=timedelta(hours=1), key_lifetime=timedelta(hours=1)) == []

    with begin() as session:
        erasure = erasures.erase_prior(session, project.id, interrupted.prior_id or "")
    assert erasure
    erasures.sweep(begin, storage, erasure.id)
    assert list(storage.keys(job_prefix(project.id, interrupted.id))) == []


def test_a_snapshot_that_cannot_be_stored_is_lost_and_the_training_succeeds(
    context: WorkerContext, training: Callable[[], Job], begin: UnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Storage.put

    def refuse_step_2(self: Storage, prefix: str, name: str, content: bytes | Path, kind: str) -> StoredObject:
        if name.startswith("step-2-"):
            raise StorageError("the disk is full")
        return put(self, prefix, name, content, kind)

    monkeypatch.setattr(Storage, "put", refuse_step_2)
    job = training()
    run_job(context, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    assert [one["step"] for _, one in facts(begin, job)] == [4, 6]


def test_large_adapters_are_kept_only_if_the_request_asks_for_them() -> None:
    lora, full = PriorConfig(), PriorConfig(tuning="full_attention")
    assert (snapshot_count({"snapshots": None}, lora), snapshot_count({"snapshots": None}, full)) == (3, 0)
    assert (snapshot_count({"snapshots": 2}, full), snapshot_count({"snapshots": 0}, lora)) == (2, 0)
    assert snapshot_count({}, lora) == 0
