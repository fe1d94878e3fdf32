"""Previews of a training and an edit: what they show and leave; nothing that befalls them befalls the job."""

import io
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
import torch
from PIL import Image

from ledger import attempts, jobs
from ledger.attempts import Claim, Progress
from ledger.database import UnitOfWork
from ledger.models import Job, Project, Subject
from ledger.states import State
from ledger.storage import Storage, StorageError, attempt_prefix
from tests.support.factories import current, edit, learn, verified
from worker import previews as painting
from worker.context import WorkerContext
from worker.previews import Painter, Previews
from worker.run_job import run_job

Reports = list[Progress]


@pytest.fixture
def order(begin: UnitOfWork, project: Project, subject: Subject) -> Callable[..., Job]:
    """`order(previews=2)`: a queued training of 4 steps."""

    def make(**asked: int) -> Job:
        job = learn(begin, project, subject, steps=4)
        with begin() as session:
            row = session.get_one(Job, job.id)
            row.parameters = row.parameters | asked
        return job

    return make


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work waits for each preview to be stored, and reports each step."""
    show = Previews.show
    monkeypatch.setattr("worker.attempt.RENEW_SECONDS", 0.0)

    def shown(previews: Previews, *what: Any) -> None:
        show(previews, *what)
        previews._uploading.join()

    monkeypatch.setattr(Previews, "show", shown)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    """What is reported of the attempt."""
    renew, seen = attempts.renew, []

    def noted(session: Any, claim: Claim, progress: Progress, **options: Any) -> Any:
        seen.append(progress)
        return renew(session, claim, progress, **options)

    monkeypatch.setattr(attempts, "renew", noted)
    return seen


@pytest.mark.usefixtures("patient")
def test_a_training_shows_what_it_has_learnt_and_learns_the_same(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, order: Callable[..., Job], reports: Reports
) -> None:
    watched, unwatched = order(previews=2), order()
    run_job(process, watched.id)
    seen = {report.preview.name for report in reports if report.preview}
    assert seen == {"preview-2.png", "preview-4.png"}
    run_job(process, unwatched.id)
    assert current(begin, watched).state == current(begin, unwatched).state == State.SUCCEEDED
    assert current(begin, watched).resolved["adapter_sha256"] == current(begin, unwatched).resolved["adapter_sha256"]
    assert "preview" not in current(begin, watched).progress
    made = verified(begin, storage, watched)
    assert [artefact.role for artefact in made] == ["adapter", "manifest", "preview", "preview"]
    assert [artefact.details for artefact in made[2:]] == [
        {"step": step, "prompt": "a sks dog sitting"} for step in (2, 4)
    ]
    pictures = [Image.open(io.BytesIO(storage.get(artefact.key, artefact.sha256))) for artefact in made[2:]]
    assert [picture.size for picture in pictures] == [(64, 64)] * 2
    assert pictures[0].tobytes() != pictures[1].tobytes()
    assert len(verified(begin, storage, unwatched)) == 2


@pytest.mark.usefixtures("patient")
def test_an_edit_shows_what_it_looks_at_and_keeps_only_its_end(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, reports: Reports
) -> None:
    job = edit(begin, storage, project, subject, None)
    with begin() as session:
        row = session.get_one(Job, job.id)
        row.parameters = row.parameters | {"nima": {"steps": 4, "looks": [0.5, 1.0]}}
    run_job(process, job.id)
    assert (current(begin, job).state, current(begin, job).error_detail) == (State.SUCCEEDED, None)
    seen = {report.preview.name: report.preview for report in reports if report.preview}
    assert set(seen) == {"preview-5.png", "preview-7.png"}  # of 8 steps in both directions
    assert {preview.details["prompt"] for preview in seen.values()} == {"a photo of sks dog jumping"}
    assert seen["preview-5.png"].stored.sha256 != seen["preview-7.png"].stored.sha256
    kept = {artefact.key for artefact in verified(begin, storage, job)}
    assert set(storage.keys(f"projects/{job.project_id}/jobs/{job.id}/")) == kept
    assert len(kept) == 8
    assert "preview" not in current(begin, job).progress


def test_a_preview_that_cannot_be_stored_or_painted_costs_the_job_nothing(
    process: WorkerContext,
    begin: UnitOfWork,
    storage: Storage,
    order: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put, tried = Storage.put, []

    def full(storage: Storage, prefix: str, name: str, *rest: Any) -> Any:
        tried.append(name)
        if name.startswith("preview"):
            raise StorageError("the disk is full")
        return put(storage, prefix, name, *rest)

    def crowded(*asked: Any, **options: Any) -> Any:
        tried.append("painted")
        raise torch.OutOfMemoryError("full")

    for target, name, broken, times in ((Storage, "put", full, 1), (painting.text_to_image, "generate", crowded, 4)):
        tried.clear()
        job = order(previews=4)
        with monkeypatch.context() as patch:
            patch.setattr(target, name, broken)
            run_job(process, job.id)
        assert (current(begin, job).state, current(begin, job).error_detail) == (State.SUCCEEDED, None)
        assert sum(name.startswith(("preview", "painted")) for name in tried) >= times
        assert [artefact.role for artefact in verified(begin, storage, job)] == ["adapter", "manifest"]


def test_an_upload_that_hangs_holds_nothing_up_and_leaves_nothing(
    process: WorkerContext,
    begin: UnitOfWork,
    storage: Storage,
    order: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put, go_on, threads, painted = Storage.put, Event(), [], []
    paint = painting.text_to_image.generate

    def slow(storage: Storage, prefix: str, name: str, *rest: Any) -> Any:
        if name.startswith("preview"):
            assert go_on.wait(60)
        return put(storage, prefix, name, *rest)

    def close(previews: Previews, patience: float) -> None:
        threads.append(previews._uploading)
        real_close(previews, 0.1)

    def counted(*asked: Any, **options: Any) -> Any:
        painted.append(options)
        return paint(*asked, **options)

    real_close = Previews.close
    monkeypatch.setattr(Previews, "close", close)
    monkeypatch.setattr(Storage, "put", slow)
    job = order(previews=4)
    monkeypatch.setattr(painting.text_to_image, "generate", counted)
    run_job(process, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    previews = [options for options in painted if options["size"] == (64, 64) and options["steps"] == 2]
    go_on.set()
    threads[0].join(60)
    assert not threads[0].is_alive()
    assert previews
    kept = {artefact.key for artefact in verified(begin, storage, job)}
    assert set(storage.keys(f"projects/{job.project_id}/jobs/{job.id}/")) == kept


@pytest.mark.usefixtures("patient")
def test_a_cancel_in_the_middle_of_a_preview_leaves_nothing(
    process: WorkerContext,
    begin: UnitOfWork,
    storage: Storage,
    order: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, paint, painted = order(previews=4), painting.text_to_image.generate, []

    def canceling(*asked: Any, **options: Any) -> Any:
        painted.append(asked)
        if len(painted) == 2:
            with begin() as session:
                jobs.cancel(session, job.project_id, job.id)
            monkeypatch.setattr("worker.attempt.RENEW_SECONDS", 0.0)
        return paint(*asked, **options)

    monkeypatch.setattr(painting.text_to_image, "generate", canceling)
    run_job(process, job.id)
    assert (current(begin, job).state, len(painted)) == (State.CANCELED, 2)
    assert "preview" not in current(begin, job).progress
    assert list(storage.keys(f"projects/{job.project_id}/jobs/")) == []


def test_what_a_killed_attempt_left_goes_with_the_next_ones_end(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, order: Callable[..., Job]
) -> None:
    job = order()
    with begin() as session:
        claim = attempts.claim(session, job.id, "killed", lease_seconds=60)
        assert claim
        left = storage.put(attempt_prefix(job.project_id, job.id, claim.epoch), "preview-1.png", b"1", "image/png")
        attempts.release(session, claim, charge=True)
    run_job(process, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    kept = {artefact.key for artefact in verified(begin, storage, job)}
    assert left.key not in kept
    assert set(storage.keys(f"projects/{job.project_id}/jobs/{job.id}/")) == kept


@pytest.mark.parametrize(
    ("steps", "count", "shown"), [(500, 4, [125, 250, 375, 500]), (5, 4, [2, 4]), (3, 9, [1, 2, 3])]
)
def test_previews_are_spread_evenly_and_no_more_than_asked_for(steps: int, count: int, shown: list[int]) -> None:
    every = Painter(*[None] * 4, count=count).every(steps)  # type: ignore[arg-type]
    assert [step for step in range(1, steps + 1) if step % every == 0] == shown
    assert Painter(*[None] * 4, count=0).every(steps) == 0  # type: ignore[arg-type]
