"""Every way out of a job, in this process, on the tiny checkpoint: state, code, and what is left behind."""

import io
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ledger import attempts, edits, jobs, priors
from ledger.database import UnitOfWork
from ledger.jobs import Job
from ledger.projects import Project
from ledger.states import State
from ledger.storage import Storage, StorageError, attempt_prefix, job_prefix
from ledger.subjects import Reference, Subject
from lipe_core.methods.mystyle.face_generator import FOLDER
from tests.support.factories import current, edit, history, learn, put_image, verified
from tests.support.toy_faces import write_toy_faces
from worker import attempt, train
from worker.context import WorkerContext
from worker.gpu import Gpu
from worker.run_job import run_job


def test_a_prior_is_learnt_and_edits(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = learn(begin, project, subject, steps=3)
    run_job(process, job.id)
    run_job(process, job.id)  # a doorbell rung twice
    learnt = current(begin, job)
    assert (learnt.state, learnt.attempt, learnt.error_detail) == (State.SUCCEEDED, 1, None)
    assert learnt.resolved["captions"] == ["a sks dog sitting", "a photo of sks dog", "a photo of sks dog jumping"]
    assert (learnt.resolved["prior"]["steps"], learnt.resolved["regularization"]["count"]) == (3, 2)
    stages = ("queued", "loading", "captioning", "regularizing", "training", "uploading")
    assert learnt.metrics.keys() == {f"seconds_{stage}" for stage in stages} | {
        "peak_memory_bytes", "worker", "attempt",
    }  # fmt: skip
    changed = edit(begin, storage, project, subject, job.prior_id, prompts=["a photo of sks dog jumping"])
    run_job(process, changed.id)
    assert current(begin, changed).error_detail is None
    made = verified(begin, storage, changed)
    assert [artefact.role for artefact in made] == ["image", "source_mask", "edit_mask", "uncomposited"]
    assert made[0].details == {"target_prompt": "a photo of sks dog jumping", "seed": 7}
    assert all(Image.open(io.BytesIO(storage.get(artefact.key, artefact.sha256))).size == (64, 64) for artefact in made)
    assert current(begin, changed).resolved["seeds"] == [7]


def test_outside_the_users_mask_the_picture_keeps_its_bytes(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    image, mask = (put_image(begin, storage, project, shade) for shade in (0, 0))
    black = io.BytesIO()
    Image.new("L", (64, 64)).save(black, "PNG")
    stored = storage.put(f"projects/{project.id}/images/{mask.id}/", "mask.png", black.getvalue(), "image/png")
    with begin() as session:
        black = session.get_one(type(mask), mask.id)
        black.key, black.sha256 = stored.key, stored.sha256
        row = edits.draft(
            project.id, subject_id=subject.id, prior_id=None, image_id=image.id, mask_image_id=mask.id,
            target_prompts=["a photo of sks dog jumping"],
        )  # fmt: skip
        parameters = {"nima": {"steps": 2, "mask_mode": "source"}}
        job = jobs.submit(
            session, project.id, "edit", subject_id=subject.id, edit_id=row.id, beside=[row], parameters=parameters
        )
    run_job(process, job.id)
    result = verified(begin, storage, job)[0]
    pixels = [
        Image.open(io.BytesIO(storage.get(row.key, row.sha256))).convert("RGB").tobytes() for row in (result, image)
    ]
    assert pixels[0] == pixels[1]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"steps": 0}, "invalid_parameters"),
        ({"no_such": 1}, "invalid_parameters"),
        ({"steps": "many"}, "invalid_parameters"),
        ({"steps": 3, "learning_rate": 1e30, "max_gradient_norm": 1e30, "warmup": 0}, "training_diverged"),
    ],
)
def test_a_bad_training_fails_with_its_code(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, wrong: dict[str, Any], code: str
) -> None:
    job = learn(begin, project, subject, **wrong)
    run_job(process, job.id)
    failed = current(begin, job)
    assert (failed.state, failed.error_code) == (State.FAILED, code), failed.error_detail
    assert failed.metrics["attempt"] == 1
    assert list(process.checkpoints.glob("*")) == []


@pytest.mark.parametrize("method", ["ddim", "sdedit"])
def test_another_method_edits_by_name(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, method: str
) -> None:
    job = edit(begin, storage, project, subject, None, method=method)
    run_job(process, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    assert (done.resolved["method"], done.resolved[method]["steps"]) == (method, 3)
    assert len(verified(begin, storage, job)) == 2 * 4


def test_a_method_that_needs_references_gets_the_subjects_and_says_what_a_checkpoint_lacks(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, checkpoint: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    few = {"inversion_steps": 2, "tuning_steps": 1, "projection_steps": 1, "picture_steps": 1}
    unready = learn(begin, project, subject, steps=1)  # its prior is of no use, and must not be waited for
    refused = edit(begin, storage, project, subject, unready.prior_id, method="mystyle", **few)
    run_job(process, refused.id)
    assert current(begin, refused).error_code == "invalid_request"
    assert "no face generator" in (current(begin, refused).error_detail or "")
    with_faces = tmp_path / "with_faces"
    shutil.copytree(checkpoint, with_faces)
    write_toy_faces(with_faces / FOLDER)
    other = replace(process, gpu=Gpu(str(with_faces), device="cpu"))
    job = edit(begin, storage, project, subject, None, method="mystyle", **few)
    run_job(other, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    assert done.resolved["evaluations"] == 3 * 2 + 3 + 1 + (1 + 3) + 1  # three references
    assert len(verified(begin, storage, job)) == 2 * 4


def test_an_edit_with_a_prior_of_another_model_or_none_fails(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    learning = learn(begin, project, subject, steps=1)
    unready = edit(begin, storage, project, subject, learning.prior_id)
    run_job(process, unready.id)
    assert current(begin, unready).error_code == "invalid_prior"
    run_job(process, learning.id)
    with begin() as session:
        prior = session.get_one(priors.Prior, learning.prior_id)
        prior.manifest = prior.manifest | {"fingerprint": "another"}
    foreign = edit(begin, storage, project, subject, learning.prior_id)
    run_job(process, foreign.id)
    assert current(begin, foreign).error_code == "prior_mismatch"


def test_an_unknown_method_and_a_nameless_prompt_fail(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    nameless = edit(begin, storage, project, subject, None, prompts=["a photo of a dog jumping"])
    unknown = edit(begin, storage, project, subject, None)
    with begin() as session:
        session.get_one(edits.Edit, unknown.edit_id).method = "magic"
    for job in (nameless, unknown):
        run_job(process, job.id)
        assert current(begin, job).error_code == "invalid_request"


def test_a_full_memory_is_tried_leaner_then_refused_and_the_next_job_is_unharmed(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A memory that is full for the first `times` trainings."""

        def __init__(self, times: int) -> None:
            self.times, self.train_prior = times, train.train_prior

        def __call__(self, *arguments: Any, **options: Any) -> Any:
            self.times -= 1
            if self.times >= 0:
                raise torch.OutOfMemoryError("full")
            return self.train_prior(*arguments, **options)

    expected = {2: (State.SUCCEEDED, None), 3: (State.FAILED, "gpu_out_of_memory"), 0: (State.SUCCEEDED, None)}
    for times, outcome in expected.items():
        with monkeypatch.context() as patch:
            patch.setattr(train, "train_prior", Full(times))
            job = learn(begin, project, subject, steps=2)
            run_job(process, job.id)
        assert (current(begin, job).state, current(begin, job).error_code) == outcome


def test_an_upload_that_cannot_be_done_fails_without_another_training(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def put(storage: Storage, prefix: str, name: str, *rest: Any) -> None:
        tried.append(name)
        raise StorageError("the disk is full")

    monkeypatch.setattr(attempt, "STORAGE_WAITS", (0, 0))
    job = learn(begin, project, subject, steps=2)
    monkeypatch.setattr(Storage, "put", put)
    run_job(process, job.id)
    assert (current(begin, job).error_code, current(begin, job).attempt) == ("storage_unavailable", 1)
    assert Counter(tried) == {"adapter.safetensors": 3, "manifest.json": 3}


def test_an_unexpected_error_tells_the_user_no_secrets(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise KeyError("postgresql://user:password@host")

    monkeypatch.setattr(train, "train_prior", broken)
    job = learn(begin, project, subject, steps=2)
    run_job(process, job.id)
    assert current(begin, job).error_code == "internal_error"
    assert "password" not in current(begin, job).error_detail


@pytest.mark.parametrize("when", ["training", "uploading"])
def test_a_cancel_leaves_no_object_and_no_checkpoint(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch, when: str,
) -> None:  # fmt: skip
    job = learn(begin, project, subject, steps=3)
    at_stage(monkeypatch, when, lambda: cancel(begin, job))
    run_job(process, job.id)
    assert [event.type for event in history(begin, job)] == ["prior.queued", "prior.running", "prior.canceled"]
    assert list(storage.keys(f"projects/{project.id}/jobs/")) == []
    assert list(process.checkpoints.glob("*")) == []


def test_a_success_whose_lease_was_lost_is_not_written_and_its_objects_go(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job = learn(begin, project, subject, steps=2)

    def steal() -> None:
        with begin() as session:
            thief = session.get_one(Job, job.id)
            thief.epoch += 1

    at_stage(monkeypatch, "uploading", steal)
    run_job(process, job.id)
    assert current(begin, job).state == State.RUNNING  # the thief's
    assert list(storage.keys(f"projects/{project.id}/jobs/")) == []


def test_what_an_attempt_before_it_stored_in_vain_goes_with_a_success(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = edit(begin, storage, project, subject, None, method="ddim", prompts=["a photo of sks dog jumping"])
    with begin() as session:
        lost = attempts.claim(session, job.id, "a worker that was killed", lease_seconds=60)
        assert lost is not None
        assert attempts.release(session, lost, charge=True)
    storage.put(attempt_prefix(project.id, job.id, lost.epoch), "image-1.png", b"in vain", "image/png")
    run_job(process, job.id)
    kept = {artefact.key for artefact in verified(begin, storage, job)}
    assert set(storage.keys(job_prefix(project.id, job.id))) == kept != set()


def test_a_draining_worker_takes_nothing_and_keeps_nothing(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    job = learn(begin, project, subject, steps=2)
    run_job(replace(process, draining=lambda: True), job.id)
    assert (current(begin, job).state, current(begin, job).epoch) == (State.QUEUED, 0)


def test_a_checkpoint_that_was_cut_off_is_begun_anew(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = learn(begin, project, subject, steps=2)
    stopped(process, begin, job, monkeypatch).write_bytes(b"cut off")
    (process.checkpoints / "job_gone.0123456789ab.safetensors").write_bytes(b"of a job that is gone")
    run_job(process, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    assert list(process.checkpoints.glob("*")) == []


def test_a_training_whose_words_changed_is_begun_anew(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off, unbroken = (learn(begin, project, subject, steps=3) for _ in range(2))
    stopped(process, begin, broken_off, monkeypatch)
    with begin() as session:
        session.get_one(Reference, (subject.id, 1)).caption = "a dog in a meadow"
    for job in (broken_off, unbroken):
        run_job(process, job.id)
    adapters = {current(begin, job).resolved["adapter_sha256"] for job in (broken_off, unbroken)}
    assert len(adapters) == 1
    assert list(process.checkpoints.glob("*")) == []


def test_a_broken_gpu_ends_the_process_but_not_the_jobs_fate(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gpu, "is_usable", lambda gpu: False)
    job = learn(begin, project, subject, steps=0)
    with pytest.raises(SystemExit):
        run_job(process, job.id)
    assert current(begin, job).state == State.FAILED


def at_stage(monkeypatch: pytest.MonkeyPatch, stage: str, act: Callable[[], None]) -> None:
    """Do something once, right after the stage has begun."""
    report = attempt.Attempt.report
    acted: list[str] = []

    def watched(attempt: attempt.Attempt, name: str, step: int, total: int, **details: Any) -> None:
        report(attempt, name, step, total, **details)
        if name == stage and not acted:
            acted.append(name)
            act()
            attempt._next_renewal = 0.0

    monkeypatch.setattr(attempt.Attempt, "report", watched)


def stopped(process: WorkerContext, begin: UnitOfWork, job: Job, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of a training that its worker, told to stop, gave back."""
    told: list[bool] = []
    with monkeypatch.context() as patch:
        at_stage(patch, "training", lambda: told.append(True))
        run_job(replace(process, draining=lambda: bool(told)), job.id)
    assert (current(begin, job).state, current(begin, job).attempt) == (State.QUEUED, 0)
    (checkpoint,) = process.checkpoints.glob(f"{job.id}.*")
    return checkpoint


def cancel(begin: UnitOfWork, job: Job) -> None:
    with begin() as session:
        jobs.cancel(session, job.project_id, job.id)
