"""Previews of a training and an edit: what they show and store; an error of a preview does not fail the job."""

import io
from collections.abc import Callable
from threading import Event, Thread
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
from lipe_core import backbone
from tests.support.factories import current, edit, learn, verified
from tests.support.running import run_job
from worker.context import WorkerContext
from worker.previews import PreviewGenerator, PreviewUploader

Reports = list[Progress]


pytestmark = pytest.mark.usefixtures("reports_are_written")


@pytest.fixture
def new_job(begin: UnitOfWork, project: Project, subject: Subject) -> Callable[..., Job]:
    """`new_job(previews=2)`: a queued training of 4 steps."""

    def make(**parameters: int) -> Job:
        job = learn(begin, project, subject, steps=4)
        with begin() as session:
            row = session.get_one(Job, job.id)
            row.parameters = row.parameters | parameters
        return job

    return make


@pytest.fixture
def previews_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job waits until each preview is stored, and reports each step."""
    upload = PreviewUploader.upload

    def upload_and_wait(uploader: PreviewUploader, *preview: Any) -> None:
        upload(uploader, *preview)
        assert uploader._uploading is not None
        uploader._uploading.join()

    monkeypatch.setattr(PreviewUploader, "upload", upload_and_wait)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    """All reports of the attempt."""
    renew, seen = attempts.renew, Reports()

    def renew_and_record(session: Any, claim: Claim, progress: Progress, **options: Any) -> Any:
        seen.append(progress)
        return renew(session, claim, progress, **options)

    monkeypatch.setattr(attempts, "renew", renew_and_record)
    return seen


@pytest.mark.usefixtures("previews_are_awaited")
def test_a_training_has_previews_and_its_result_does_not_depend_on_them(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, new_job: Callable[..., Job], reports: Reports
) -> None:
    watched, unwatched = new_job(previews=2), new_job()
    run_job(context, watched.id)
    seen = {report.preview.name for report in reports if report.preview}
    assert seen == {"preview-2.png", "preview-4.png"}
    run_job(context, unwatched.id)
    assert current(begin, watched).state == current(begin, unwatched).state == State.SUCCEEDED
    assert current(begin, watched).resolved["adapter_sha256"] == current(begin, unwatched).resolved["adapter_sha256"]
    assert "preview" not in current(begin, watched).progress
    made = verified(begin, storage, watched)
    assert [artefact.role for artefact in made] == ["adapter", "manifest", "preview", "preview"]
    assert [artefact.details for artefact in made[2:]] == [
        {"step": step, "prompt": "a sks dog sitting"} for step in (2, 4)
    ]
    images = [Image.open(io.BytesIO(storage.get(artefact.key, artefact.sha256))) for artefact in made[2:]]
    assert [image.size for image in images] == [(64, 64)] * 2
    assert images[0].tobytes() != images[1].tobytes()
    assert len(verified(begin, storage, unwatched)) == 2


@pytest.mark.usefixtures("previews_are_awaited")
def test_an_edit_has_the_first_pass_as_its_preview_and_keeps_only_its_results(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, reports: Reports
) -> None:
    job = edit(begin, storage, project, subject, None)
    with begin() as session:
        row = session.get_one(Job, job.id)
        row.parameters = row.parameters | {"nima": {"steps": 5}}
    run_job(context, job.id)
    assert (current(begin, job).state, current(begin, job).error_detail) == (State.SUCCEEDED, None)
    seen = {report.preview.name: report.preview for report in reports if report.preview}
    assert set(seen) == {"preview-10.png"}  # after 5 steps of inversion and 5 of the first pass
    assert {preview.details["prompt"] for preview in seen.values()} == {"a photo of sks dog jumping"}
    stages = [(report.stage, report.step, report.total) for report in reports if report.total == 12]
    assert {step for stage, step, _ in stages if stage == "inverting"} == {1, 2, 3, 4, 5}
    assert {step for stage, step, _ in stages if stage == "editing"} == {6, 7, 8, 9, 10, 11, 12}
    kept = {artefact.key for artefact in verified(begin, storage, job)}
    assert set(storage.keys(f"projects/{job.project_id}/jobs/{job.id}/")) == kept
    assert len(kept) == 6
    assert "preview" not in current(begin, job).progress


def test_a_preview_that_cannot_be_stored_or_generated_does_not_fail_the_job(
    context: WorkerContext,
    begin: UnitOfWork,
    storage: Storage,
    new_job: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put, tries = Storage.put, list[str]()

    def full(storage: Storage, prefix: str, name: str, *rest: Any) -> Any:
        tries.append(name)
        if name.startswith("preview"):
            raise StorageError("the disk is full")
        return put(storage, prefix, name, *rest)

    def out_of_memory(*arguments: Any, **options: Any) -> Any:
        tries.append("generated")
        raise torch.OutOfMemoryError("full")

    for target, name, broken, times in ((Storage, "put", full, 1), (backbone, "generate_images", out_of_memory, 4)):
        tries.clear()
        job = new_job(previews=4)
        with monkeypatch.context() as patch:
            patch.setattr(target, name, broken)
            run_job(context, job.id)
        assert (current(begin, job).state, current(begin, job).error_detail) == (State.SUCCEEDED, None)
        assert sum(name.startswith(("preview", "generated")) for name in tries) >= times
        assert [artefact.role for artefact in verified(begin, storage, job)] == ["adapter", "manifest"]


def test_an_upload_that_hangs_delays_nothing_and_leaves_no_object(
    context: WorkerContext,
    begin: UnitOfWork,
    storage: Storage,
    new_job: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put, proceed, threads, generated = Storage.put, Event(), list[Thread | None](), list[dict[str, Any]]()
    generate = backbone.generate_images

    def slow(storage: Storage, prefix: str, name: str, *rest: Any) -> Any:
        if name.startswith("preview"):
            assert proceed.wait(60)
        return put(storage, prefix, name, *rest)

    def close(uploader: PreviewUploader, seconds: float) -> None:
        threads.append(uploader._uploading)
        real_close(uploader, 0.1)

    def generate_and_record(*arguments: Any, **options: Any) -> Any:
        generated.append(options)
        return generate(*arguments, **options)

    real_close = PreviewUploader.close
    monkeypatch.setattr(PreviewUploader, "close", close)
    monkeypatch.setattr(Storage, "put", slow)
    job = new_job(previews=4)
    monkeypatch.setattr(backbone, "generate_images", generate_and_record)
    run_job(context, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    previews = [options for options in generated if options["size"] == (64, 64) and options["steps"] == 2]
    proceed.set()
    assert threads[0] is not None
    threads[0].join(60)
    assert not threads[0].is_alive()
    assert previews
    kept = {artefact.key for artefact in verified(begin, storage, job)}
    assert set(storage.keys(f"projects/{job.project_id}/jobs/{job.id}/")) == kept


@pytest.mark.usefixtures("previews_are_awaited")
def test_a_cancel_during_a_preview_leaves_no_object(
    context: WorkerContext,
    begin: UnitOfWork,
    storage: Storage,
    new_job: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, generate, calls = new_job(previews=4), backbone.generate_images, list[Any]()

    def cancel_and_generate(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            with begin() as session:
                jobs.cancel(session, job.project_id, job.id)
        return generate(*arguments, **options)

    monkeypatch.setattr(backbone, "generate_images", cancel_and_generate)
    run_job(context, job.id)
    assert (current(begin, job).state, len(calls)) == (State.CANCELED, 2)
    assert "preview" not in current(begin, job).progress
    assert list(storage.keys(f"projects/{job.project_id}/jobs/")) == []


def test_the_end_of_an_attempt_deletes_the_objects_of_a_killed_one(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, new_job: Callable[..., Job]
) -> None:
    job = new_job()
    with begin() as session:
        claim = attempts.claim(session, job.id, "killed", lease_seconds=60)
        assert claim
        left = storage.put(attempt_prefix(job.project_id, job.id, claim.epoch), "preview-1.png", b"1", "image/png")
        attempts.release(session, claim, charge=True)
    run_job(context, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    kept = {artefact.key for artefact in verified(begin, storage, job)}
    assert left.key not in kept
    assert set(storage.keys(f"projects/{job.project_id}/jobs/{job.id}/")) == kept


@pytest.mark.parametrize(
    ("steps", "count", "shown"), [(500, 4, [125, 250, 375, 500]), (5, 4, [2, 4]), (3, 9, [1, 2, 3])]
)
def test_previews_are_spread_evenly_and_no_more_than_asked_for(steps: int, count: int, shown: list[int]) -> None:
    def interval(count: int) -> int:
        unused: Any = None
        return PreviewGenerator(unused, unused, unused, unused, count).interval(steps)

    assert [step for step in range(1, steps + 1) if step % interval(count) == 0] == shown
    assert interval(0) == 0
