"""A full GPU memory in each phase of a job, with every fallback: the job fails, and the next one succeeds."""

from typing import Any

import pytest
import torch
from sqlalchemy import func, select

from ledger.database import UnitOfWork
from ledger.models import Artefact, Project, Subject
from ledger.states import State
from ledger.storage import Storage
from lipe_core import backbone
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.sdxl import BaseModel
from lipe_core.training import learn as learning
from tests.support.factories import current, edit, learn
from tests.support.running import run_job
from worker import edit as worker_edit
from worker import results, train
from worker.context import WorkerContext


def full(*arguments: Any, **options: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


TRAINING: dict[str, tuple[Any, str]] = {
    "encoding the prompts": (BaseModel, "encode_prompt"),
    "encoding the references": (backbone, "encode_image"),
    "generating the class images": (learning, "regularization_set"),
    "training": (train, "train_prior"),
    "saving the weights": (train, "save_prior"),
}
EDITING: dict[str, tuple[Any, str]] = {
    "encoding the image": (backbone, "encode_image"),
    "encoding the prompts": (BaseModel, "encode_prompt"),
    "inverting and editing": (BaseModel, "predict"),
    "decoding": (backbone, "decode"),
    "writing the images": (results, "encode"),
}


@pytest.mark.parametrize("phase", TRAINING)
def test_in_a_training(
    context: WorkerContext,
    begin: UnitOfWork,
    project: Project,
    subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
) -> None:
    job, following = (learn(begin, project, subject, steps=2) for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr(*TRAINING[phase], full)
        run_job(context, job.id)
    assert (current(begin, job).state, current(begin, job).error_code) == (State.FAILED, "gpu_out_of_memory")
    assert "smaller images" in (current(begin, job).error_detail or "")
    assert list(context.checkpoints.glob("*")) == []
    run_job(context, following.id)
    assert (current(begin, following).state, current(begin, following).error_detail) == (State.SUCCEEDED, None)
    assert is_restored(context.gpu.base_model())


@pytest.mark.parametrize("phase", EDITING)
def test_in_an_edit(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch, phase: str,
) -> None:  # fmt: skip
    job, following = (edit(begin, storage, project, subject, None, method="sdedit") for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr(*EDITING[phase], full)
        run_job(context, job.id)
    assert (current(begin, job).state, current(begin, job).error_code) == (State.FAILED, "gpu_out_of_memory")
    run_job(context, following.id)
    assert (current(begin, following).state, current(begin, following).error_detail) == (State.SUCCEEDED, None)
    assert is_restored(context.gpu.base_model())


def test_prompts_are_edited_in_smaller_parts(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    method, parts = METHODS["sdedit"], list[int]()

    def edit_at_most_two(model: backbone.BaseModel, request: EditRequest, config: Any, **options: Any) -> list[Edit]:
        parts.append(len(request.target_prompts))
        if parts[-1] > 2:
            full()
        return method.edit(model, request, config, **options)

    monkeypatch.setattr(worker_edit, "METHODS", {"sdedit": method._replace(edit=edit_at_most_two)})
    prompts = [f"a photo of sks dog {word}" for word in ("sitting", "standing", "jumping", "lying", "asleep")]
    job = edit(begin, storage, project, subject, None, prompts=prompts, method="sdedit")
    run_job(context, job.id)
    assert (current(begin, job).state, current(begin, job).error_detail) == (State.SUCCEEDED, None)
    assert parts == [5, 2, 2, 1]
    with begin() as session:
        images = select(func.count()).where(Artefact.job_id == job.id, Artefact.role == "image")
        assert session.scalar(images) == 5


def test_nima_takes_fewer_rows_at_once_by_itself(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
) -> None:  # fmt: skip
    inversions, unet = list[int](), context.gpu.base_model().network

    def refuse(unet: Any, inputs: Any) -> None:
        if len(inputs[0]) > 2:
            full()
        inversions.append(int(inputs[1][0]))

    hook = unet.register_forward_pre_hook(refuse)
    prompts = [f"a photo of sks dog {word}" for word in ("sitting", "standing")]
    job = edit(begin, storage, project, subject, None, prompts=prompts, steps=2)
    run_job(context, job.id)
    hook.remove()
    assert (current(begin, job).state, current(begin, job).error_detail) == (State.SUCCEEDED, None)
    assert inversions.count(0) == 1  # only an inversion evaluates the clean end
    with begin() as session:
        images = select(func.count()).where(Artefact.job_id == job.id, Artefact.role == "image")
        assert session.scalar(images) == 2


def is_restored(model: backbone.BaseModel) -> bool:
    """Whether no memory option, no adapter and no gradient is still enabled."""
    frozen = not any(weight.requires_grad or weight.grad is not None for weight in model.network.parameters())
    return (
        frozen
        and not model.network.is_gradient_checkpointing
        and not model.vae.use_slicing
        and not model.network.training
    )
