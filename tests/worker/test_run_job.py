"""Every outcome of a job, in this process, on the tiny checkpoint: state, error code, and the remaining files."""

import io
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from PIL import Image

from ledger import attempts, consents, edits, jobs
from ledger.consents import Receipt
from ledger.database import UnitOfWork
from ledger.models import Edit, Job, Prior, Project, Reference, Subject
from ledger.states import State
from ledger.storage import Storage, StorageError, attempt_prefix, job_prefix
from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.mystyle.face_generator import FOLDER
from lipe_core.recipe import load_recipe
from lipe_core.subject import Subject as SubjectWords
from lipe_core.training.learn import train_prior
from lipe_core.training.train import training_loss
from tests.support.factories import current, edit, history, learn, put_image, verified
from tests.support.running import run_job
from tests.support.tiny_klein import write_klein
from tests.support.toy_faces import write_toy_faces
from worker import attempt, train
from worker.context import WorkerContext
from worker.gpu import Gpu

pytestmark = pytest.mark.usefixtures("reports_are_written")


def test_a_prior_is_learned_and_used_for_an_edit(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = learn(begin, project, subject, steps=3)
    run_job(context, job.id)
    run_job(context, job.id)  # a second notification
    learned = current(begin, job)
    assert (learned.state, learned.attempt, learned.error_detail) == (State.SUCCEEDED, 1, None)
    assert learned.resolved["captions"] == ["a sks dog sitting", "a photo of sks dog", "a photo of sks dog jumping"]
    assert (learned.resolved["prior"]["steps"], learned.resolved["regularization"]["count"]) == (3, 2)
    with begin() as session:
        prior = session.get_one(Prior, job.prior_id)
    assert prior.reference_ids == [reference.image_id for reference in subject.references]
    stages = ("queued", "loading", "checking", "captioning", "regularizing", "training", "uploading")
    assert learned.metrics.keys() == {f"seconds_{stage}" for stage in stages} | {
        "peak_memory_bytes", "worker", "attempt",
    }  # fmt: skip
    changed = edit(begin, storage, project, subject, job.prior_id, prompts=["a photo of sks dog jumping"])
    run_job(context, changed.id)
    assert current(begin, changed).error_detail is None
    made = verified(begin, storage, changed)
    assert [artefact.role for artefact in made] == ["image", "source_mask", "edit_mask"]
    assert made[0].details == {"target_prompt": "a photo of sks dog jumping", "seed": 7}
    assert all(Image.open(io.BytesIO(storage.get(artefact.key, artefact.sha256))).size == (64, 64) for artefact in made)
    assert current(begin, changed).resolved["seeds"] == [7]


def test_outside_the_users_mask_the_image_keeps_its_bytes(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    image, mask = (put_image(begin, storage, project, shade) for shade in (0, 0))
    black = io.BytesIO()
    Image.new("L", (64, 64)).save(black, "PNG")
    stored = storage.put(f"projects/{project.id}/images/{mask.id}/", "mask.png", black.getvalue(), "image/png")
    with begin() as session:
        mask_row = session.get_one(type(mask), mask.id)
        mask_row.key, mask_row.sha256 = stored.key, stored.sha256
        row = edits.draft(
            project.id, subject_id=subject.id, prior_id=None, image_id=image.id, mask_image_id=mask.id,
            target_prompts=["a photo of sks dog jumping"],
        )  # fmt: skip
        parameters = {"nima": {"steps": 2, "mask_mode": "source"}}
        job = jobs.submit(
            session, project.id, "edit", subject_id=subject.id, edit_id=row.id, related=[row], parameters=parameters
        )
    run_job(context, job.id)
    result = verified(begin, storage, job)[0]
    pixels = [
        Image.open(io.BytesIO(storage.get(row.key, row.sha256))).convert("RGB").tobytes() for row in (result, image)
    ]
    assert pixels[0] == pixels[1]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"steps": 0}, "invalid_parameters"),
        ({"no_such": 1}, "invalid_parameters"),
        ({"steps": "many"}, "invalid_parameters"),
        ({"learning_rate": 1e30}, "invalid_parameters"),
    ],
)
def test_a_training_with_bad_settings_fails_with_its_code(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, config: dict[str, Any], code: str
) -> None:
    job = learn(begin, project, subject, **config)
    run_job(context, job.id)
    failed = current(begin, job)
    assert (failed.state, failed.error_code) == (State.FAILED, code), failed.error_detail
    assert failed.metrics["attempt"] == 1
    assert list(context.checkpoints.glob("*")) == []


def test_a_training_that_diverges_says_so(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = training_loss
    monkeypatch.setattr("lipe_core.training.train.training_loss", lambda *inputs: loss(*inputs) * float("nan"))
    job = learn(begin, project, subject, steps=3)
    run_job(context, job.id)
    failed = current(begin, job)
    assert (failed.state, failed.error_code) == (State.FAILED, "training_diverged"), failed.error_detail
    assert "learning_rate" in (failed.error_detail or "")


def test_a_further_edit_of_an_image_starts_from_its_inversion(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    roomy = replace(context, gpu=replace(context.gpu, kept_source_bytes=1 << 30, _sources=None))
    made = [edit(begin, storage, project, subject, None, ["a photo of sks dog jumping"]) for _ in range(3)]
    for job, used in zip(made, (roomy, roomy, context), strict=True):
        run_job(used, job.id)
    first, further, alone = (current(begin, job) for job in made)
    search = SubjectFinder(context.gpu.base_model(), SubjectWords("sks", "dog")).evaluations
    assert first.resolved["evaluations"] == alone.resolved["evaluations"]
    assert further.resolved["evaluations"] == alone.resolved["evaluations"] - 3 - search
    assert [file.sha256 for file in verified(begin, storage, further)] == [
        file.sha256 for file in verified(begin, storage, alone)
    ]
    assert len(roomy.gpu.images) == 1
    run_job(roomy, learn(begin, project, subject, steps=0).id)
    assert roomy.gpu.images == []  # a training needs the memory


@pytest.mark.parametrize("method", ["ddim", "sdedit"])
def test_another_method_is_selected_by_name(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, method: str
) -> None:
    job = edit(begin, storage, project, subject, None, method=method)
    run_job(context, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    assert (done.resolved["method"], done.resolved[method]["steps"]) == (method, 3)
    assert len(verified(begin, storage, job)) == 2 * 3


def test_the_choices_and_the_negative_prompt_of_a_job_are_used_and_reported(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = edit(begin, storage, project, subject, None, method="ddim", guidance_scale=3.0)
    asked = {"choices": {"preset": "fast"}, "negative_prompt": "blurry"}
    with begin() as session:
        session.get_one(Job, job.id).parameters = job.parameters | asked
    run_job(context, job.id)
    done = current(begin, job)
    assert done.error_detail is None
    recipe = load_recipe(context.gpu.base_model().checkpoint)
    assert done.resolved["ddim"] == asdict(recipe.method_config("ddim", {"guidance_scale": 3.0}, {"preset": "fast"}))
    assert {name: done.resolved[name] for name in asked} == asked


def test_a_prompt_that_the_base_model_cannot_read_to_its_end_fails_before_any_work(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = edit(begin, storage, project, subject, None, ["a photo of sks dog " + "jumping " * 80])
    run_job(context, job.id)
    failed = current(begin, job)
    assert (failed.error_code, failed.metrics.keys() & {"seconds_inverting", "seconds_editing"}) == (
        "invalid_request", set(),
    )  # fmt: skip
    assert "tokens, and the base model reads" in (failed.error_detail or "")


def test_a_method_that_needs_references_gets_them_and_names_what_the_checkpoint_lacks(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, checkpoint: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    few: dict[str, Any] = {"inversion_steps": 2, "tuning_steps": 1, "projection_steps": 1, "image_steps": 1}
    unready = learn(
        begin, project, subject, steps=1
    )  # the method does not use its prior, so the edit must not require it
    refused = edit(begin, storage, project, subject, unready.prior_id, method="mystyle", **few)
    run_job(context, refused.id)
    assert current(begin, refused).error_code == "invalid_request"
    assert "no face generator" in (current(begin, refused).error_detail or "")
    with_faces = tmp_path / "with_faces"
    shutil.copytree(checkpoint, with_faces)
    write_toy_faces(with_faces / FOLDER)
    other = replace(context, gpu=Gpu(str(with_faces), device="cpu"))
    job = edit(begin, storage, project, subject, None, method="mystyle", **few)
    run_job(other, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    assert done.resolved["evaluations"] == 3 * 2 + 3 + 1 + (1 + 3) + 1  # three references
    assert len(verified(begin, storage, job)) == 2 * 3


def test_references_are_read_beside_the_target_by_a_base_model_that_can(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"images": "references", "steps": 1, "guidance_scale": 1.0}
    refused = edit(begin, storage, project, subject, None, method="reference_tokens", **settings)
    run_job(context, refused.id)
    assert current(begin, refused).error_code == "invalid_request"
    assert "is made for base models of the family flux2" in (current(begin, refused).error_detail or "")
    write_klein(tmp_path)
    other = replace(context, gpu=Gpu(str(tmp_path), device="cpu"))
    job = edit(begin, storage, project, subject, None, method="reference_tokens", **settings)
    run_job(other, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    assert done.resolved["reference_tokens"]["images"] == "references"
    assert len(verified(begin, storage, job)) == 2 * 3


def test_an_edit_with_a_prior_of_another_model_or_none_fails(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    learning = learn(begin, project, subject, steps=1)
    unready = edit(begin, storage, project, subject, learning.prior_id)
    run_job(context, unready.id)
    assert current(begin, unready).error_code == "invalid_prior"
    run_job(context, learning.id)
    with begin() as session:
        prior = session.get_one(Prior, learning.prior_id)
        prior.manifest = (prior.manifest or {}) | {"fingerprint": "another"}
    foreign = edit(begin, storage, project, subject, learning.prior_id)
    run_job(context, foreign.id)
    assert current(begin, foreign).error_code == "prior_mismatch"


def test_an_unknown_method_and_a_prompt_without_the_token_fail(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    nameless = edit(begin, storage, project, subject, None, prompts=["a photo of a dog jumping"])
    unknown = edit(begin, storage, project, subject, None)
    with begin() as session:
        session.get_one(Edit, unknown.edit_id).method = "magic"
    for job in (nameless, unknown):
        run_job(context, job.id)
        assert current(begin, job).error_code == "invalid_request"


def test_a_full_memory_leads_to_fallbacks_then_an_error_and_the_next_job_succeeds(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """Training that raises out of memory at the first `times` calls."""

        def __init__(self, times: int) -> None:
            self.times, self.train_prior = times, train_prior

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
            run_job(context, job.id)
        assert (current(begin, job).state, current(begin, job).error_code) == outcome


def test_an_upload_that_fails_does_not_repeat_the_training(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def put(storage: Storage, prefix: str, name: str, *rest: Any) -> None:
        tried.append(name)
        raise StorageError("the disk is full")

    monkeypatch.setattr(attempt, "STORAGE_RETRY_SECONDS", (0, 0))
    job = learn(begin, project, subject, steps=2)
    monkeypatch.setattr(Storage, "put", put)
    run_job(context, job.id)
    assert (current(begin, job).error_code, current(begin, job).attempt) == ("storage_unavailable", 1)
    assert Counter(tried) == {"adapter.safetensors": 3, "manifest.json": 3}


@pytest.mark.parametrize("kind", ["prior", "edit"])
def test_a_lost_image_fails_the_job_at_once(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch, kind: str,
) -> None:  # fmt: skip
    read: list[str] = []
    get = Storage.get

    def recorded(storage: Storage, key: str, sha256: str) -> bytes:
        read.append(key)
        return get(storage, key, sha256)

    monkeypatch.setattr(Storage, "get", recorded)
    monkeypatch.setattr(attempt, "STORAGE_RETRY_SECONDS", (0, 0))
    job = learn(begin, project, subject, steps=2) if kind == "prior" else edit(begin, storage, project, subject, None)
    storage.delete_prefix(f"projects/{project.id}/images/")
    run_job(context, job.id)
    failed = current(begin, job)
    assert (failed.state, failed.error_code, failed.attempt) == (State.FAILED, "object_missing", 1)
    assert Counter(read).most_common(1)[0][1] == 1


def test_a_job_that_runs_for_too_long_fails_with_its_code(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    context = replace(context, settings=context.settings.model_copy(update={"max_job_seconds": 0.001}))
    job = learn(begin, project, subject, steps=2)
    run_job(context, job.id)
    failed = current(begin, job)
    assert (failed.state, failed.error_code, failed.attempt) == (State.FAILED, "over_time", 1)


def test_a_training_takes_no_further_step_after_the_consent_was_revoked(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begin() as session:
        consents.give(session, session.get_one(Subject, subject.id), Receipt("Ada", "images for her book"), "operator")
    loss, steps = training_loss, Counter[str]()

    def revoked_in_the_second_step(*inputs: Any) -> torch.Tensor:
        steps["taken"] += 1
        if steps["taken"] == 2:
            with begin() as session:
                consents.revoke(session, project.id, subject.id, "operator")
        return loss(*inputs)

    monkeypatch.setattr("lipe_core.training.train.training_loss", revoked_in_the_second_step)
    job = learn(begin, project, subject, steps=9)
    run_job(context, job.id)
    stopped = current(begin, job)
    assert (stopped.state, stopped.error_code, steps["taken"]) == (State.CANCELED, "consent_ended", 2)


def test_an_unexpected_error_reveals_no_secrets(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise KeyError("postgresql://user:password@host")

    monkeypatch.setattr(train, "train_prior", broken)
    job = learn(begin, project, subject, steps=2)
    run_job(context, job.id)
    assert current(begin, job).error_code == "internal_error"
    assert "password" not in (current(begin, job).error_detail or "")


@pytest.mark.parametrize("when", ["training", "uploading"])
def test_a_cancel_leaves_no_object_and_no_checkpoint(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch, when: str,
) -> None:  # fmt: skip
    job = learn(begin, project, subject, steps=3)
    at_stage(monkeypatch, when, lambda: cancel(begin, job))
    run_job(context, job.id)
    types = [event.type for event in history(begin, job) if event.type != "prior.warning"]  # its images are noise
    assert types == ["prior.queued", "prior.running", "prior.canceled"]
    assert list(storage.keys(f"projects/{project.id}/jobs/")) == []
    assert list(context.checkpoints.glob("*")) == []


def test_a_success_without_the_claim_is_not_written_and_its_objects_are_deleted(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job = learn(begin, project, subject, steps=2)

    def steal() -> None:
        with begin() as session:
            thief = session.get_one(Job, job.id)
            thief.epoch += 1

    at_stage(monkeypatch, "uploading", steal)
    run_job(context, job.id)
    assert current(begin, job).state == State.RUNNING  # the thief's
    assert list(storage.keys(f"projects/{project.id}/jobs/")) == []


def test_a_success_deletes_the_objects_of_an_earlier_attempt(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = edit(begin, storage, project, subject, None, method="ddim", prompts=["a photo of sks dog jumping"])
    with begin() as session:
        lost = attempts.claim(session, job.id, "a worker that was killed", lease_seconds=60)
        assert lost is not None
        assert attempts.release(session, lost, charge=True)
    storage.put(attempt_prefix(project.id, job.id, lost.epoch), "image-1.png", b"orphaned", "image/png")
    run_job(context, job.id)
    kept = {artefact.key for artefact in verified(begin, storage, job)}
    assert set(storage.keys(job_prefix(project.id, job.id))) == kept != set()


def test_a_draining_worker_claims_nothing(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    job = learn(begin, project, subject, steps=2)
    run_job(replace(context, draining=lambda: True), job.id)
    assert (current(begin, job).state, current(begin, job).epoch) == (State.QUEUED, 0)


def test_a_training_with_a_truncated_checkpoint_starts_again(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = learn(begin, project, subject, steps=2)
    stopped(context, begin, job, monkeypatch).write_bytes(b"truncated")
    (context.checkpoints / "job_gone.0123456789ab.safetensors").write_bytes(b"of a deleted job")
    run_job(context, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    assert list(context.checkpoints.glob("*")) == []


def test_a_training_whose_captions_changed_starts_again(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted, uninterrupted = (learn(begin, project, subject, steps=3) for _ in range(2))
    stopped(context, begin, interrupted, monkeypatch)
    with begin() as session:
        session.get_one(Reference, (subject.id, 1)).caption = "a dog in a meadow"
    for job in (interrupted, uninterrupted):
        run_job(context, job.id)
    adapters = {current(begin, job).resolved["adapter_sha256"] for job in (interrupted, uninterrupted)}
    assert len(adapters) == 1
    assert list(context.checkpoints.glob("*")) == []


def test_a_broken_gpu_ends_the_process_after_the_job_has_its_outcome(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gpu, "is_usable", lambda gpu: False)
    job = learn(begin, project, subject, steps=0)
    with pytest.raises(SystemExit):
        run_job(context, job.id)
    assert current(begin, job).state == State.FAILED


def test_a_stuck_engine_fails_the_job_with_its_stage_and_ends_the_process(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits, over = list[int](), Event()

    def hang(context: WorkerContext, attempt: attempt.Attempt) -> None:
        attempt.report("captioning", 1, 3)
        assert over.wait(60)
        attempt.report("captioning", 2, 3)

    def end_process(status: int) -> None:
        exits.append(status)
        over.set()

    monkeypatch.setattr(train, "learn", hang)
    monkeypatch.setattr("worker.run_job.os._exit", end_process)
    job = learn(begin, project, subject, steps=1)
    run_job(replace(context, settings=context.settings.model_copy(update={"stuck_seconds": 0.5})), job.id)
    failed = current(begin, job)
    assert (failed.state, failed.error_code, failed.attempt, exits) == (State.FAILED, "stuck", 1, [1])
    assert failed.error_detail == 'no progress for 0.5 s in "captioning"'
    assert [event.type for event in history(begin, job)] == ["prior.queued", "prior.running", "prior.failed"]


def at_stage(monkeypatch: pytest.MonkeyPatch, stage: str, act: Callable[[], None]) -> None:
    """Call `act` once, right after the stage has begun."""
    report = attempt.Attempt.report
    acted: list[str] = []

    def watched(attempt: attempt.Attempt, name: str, step: int, total: int, **details: Any) -> None:
        report(attempt, name, step, total, **details)
        if name == stage and not acted:
            acted.append(name)
            act()
            attempt._next_renewal = 0.0

    monkeypatch.setattr(attempt.Attempt, "report", watched)


def stopped(context: WorkerContext, begin: UnitOfWork, job: Job, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of a training that a draining worker returned to the queue."""
    drains: list[bool] = []
    with monkeypatch.context() as patch:
        at_stage(patch, "training", lambda: drains.append(True))
        run_job(replace(context, draining=lambda: bool(drains)), job.id)
    assert (current(begin, job).state, current(begin, job).attempt) == (State.QUEUED, 0)
    (checkpoint,) = context.checkpoints.glob(f"{job.id}.*")
    return checkpoint


def cancel(begin: UnitOfWork, job: Job) -> None:
    with begin() as session:
        jobs.cancel(session, job.project_id, job.id)
