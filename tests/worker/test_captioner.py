"""The service's captioner: it captions images that have no caption, and leaves the GPU afterwards."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sqlalchemy import Engine

from ledger.database import UnitOfWork
from ledger.models import Edit, Prior, Project, Reference, Subject
from ledger.models import Image as ImageRow
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from lipe_core import subject as core
from lipe_core.captioning import vlm
from tests.support.factories import current, edit, learn
from tests.support.running import run_job
from tests.support.tiny_llava import CAPTIONS, write_llava
from worker.attempt import Canceled
from worker.captioner import CaptionModel
from worker.context import WorkerContext, make_context
from worker.gpu import Gpu, GpuOutOfMemory

NAMED = {colour: lesson.replace("dog", "sks dog") for colour, lesson in CAPTIONS.items()}
DOG = core.Subject("sks", "dog")


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LLaVA that distinguishes a white image from a black one."""
    folder = tmp_path_factory.mktemp("captioner") / "llava-tiny"
    write_llava(folder)
    return folder


@pytest.fixture
def context(settings: Settings, engine: Engine, gpu: Gpu, llava: Path) -> WorkerContext:
    """A context whose settings name that model."""
    settings = settings.model_copy(update={"captioner": str(llava)})
    return replace(make_context(settings, engine, lambda: False), gpu=gpu)


def replace_image(begin: UnitOfWork, storage: Storage, project: Project, image_id: str, colour: str) -> None:
    """Replace a stored image by one of a single colour."""
    content = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(content, "PNG")
    stored = storage.put(f"projects/{project.id}/images/{image_id}/", "plain.png", content.getvalue(), "image/png")
    with begin() as session:
        image = session.get_one(ImageRow, image_id)
        image.key, image.size, image.sha256 = stored.key, stored.size, stored.sha256


def test_references_without_a_caption_get_one_and_the_users_captions_are_kept(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    replace_image(begin, storage, project, subject.references[1].image_id, "white")
    job = learn(begin, project, subject, steps=1)
    run_job(context, job.id)
    learned = current(begin, job)
    assert (learned.state, learned.error_detail) == (State.SUCCEEDED, None)
    assert learned.resolved["captions"] == ["a sks dog sitting", NAMED["white"], "a photo of sks dog jumping"]
    assert learned.resolved["captioner"] == "llava-tiny"
    with begin() as session:
        manifest = session.get_one(Prior, job.prior_id).manifest
    assert manifest is not None
    assert (manifest["captioner"], manifest["captions"]) == ("llava-tiny", learned.resolved["captions"])


def test_an_edit_without_a_source_prompt_gets_one(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = edit(begin, storage, project, subject, None)
    with begin() as session:
        image_id = session.get_one(Edit, job.edit_id).image_id
    replace_image(begin, storage, project, image_id, "black")
    run_job(context, job.id)
    made = current(begin, job)
    assert (made.state, made.error_detail) == (State.SUCCEEDED, None)
    assert (made.resolved["source_prompt"], made.resolved["captioner"]) == (NAMED["black"], "llava-tiny")
    assert made.metrics["seconds_captioning"] > 0


def test_nothing_is_loaded_if_the_user_gave_all_captions(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(vlm, "load", lambda *arguments, **options: pytest.fail("the model was loaded"))
    learning, editing = learn(begin, project, subject, steps=1), edit(begin, storage, project, subject, None)
    with begin() as session:
        session.get_one(Reference, (subject.id, 1)).caption = "a dog in a meadow"
        session.get_one(Edit, editing.edit_id).source_prompt = "a sks dog sitting"
    for job in (learning, editing):
        run_job(context, job.id)
        done = current(begin, job)
        assert (done.state, done.resolved["captioner"]) == (State.SUCCEEDED, None)
    assert "seconds_captioning" not in current(begin, editing).metrics


def test_it_is_loaded_once_by_an_attempt_that_reports_meanwhile(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    load, states = vlm.load, []
    job = edit(begin, storage, project, subject, None)

    def watched(*arguments: Any, **options: Any) -> vlm.VisionLanguageModel:
        states.append(current(begin, job).state)
        return load(*arguments, **options)

    monkeypatch.setattr(vlm, "load", watched)
    run_job(context, job.id)
    run_job(context, job.id)  # a second notification
    run_job(context, edit(begin, storage, project, subject, None).id)
    assert states == [State.RUNNING]


@pytest.mark.parametrize("kind", ["prior", "edit"])
def test_a_captioner_that_cannot_be_loaded_fails_the_jobs_that_need_it_and_its_path_stays_secret(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, kind: str,
) -> None:  # fmt: skip
    context = replace(context, caption_model=CaptionModel(str(tmp_path / "no-llava")))
    needy = learn(begin, project, subject) if kind == "prior" else edit(begin, storage, project, subject, None)
    run_job(context, needy.id)
    failed = current(begin, needy)
    assert (failed.state, failed.error_code) == (State.FAILED, "captioner_unavailable")
    assert failed.error_detail is not None
    assert "no-llava cannot caption the images: give every reference a caption" in failed.error_detail
    assert str(tmp_path) not in failed.error_detail
    assert f"the folder {tmp_path / 'no-llava'} does not exist" in caplog.text
    captioned = edit(begin, storage, project, subject, None)
    with begin() as session:
        session.get_one(Edit, captioned.edit_id).source_prompt = "a sks dog sitting"
    run_job(context, captioned.id)
    assert current(begin, captioned).state == State.SUCCEEDED


class Moves:
    """Records the moves of networks between devices. `cpu:0`, another name of the CPU, stands for the GPU."""

    def __init__(self, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = replace(gpu.base_model(), device=torch.device("cpu", 0))
        self.seen: list[str] = []
        move = torch.nn.Module.to

        def watched(network: torch.nn.Module, device: Any, *rest: Any, **options: Any) -> torch.nn.Module:
            self.seen.append(f"{type(network).__name__} {device}")
            return move(network, device, *rest, **options)

        self.patch = lambda: monkeypatch.setattr(torch.nn.Module, "to", watched)


CAPTIONER = ["LlavaForConditionalGeneration cpu:0", "LlavaForConditionalGeneration cpu"]
BASE = ["UNet2DConditionModel", "AutoencoderKL", "CLIPTextModel", "CLIPTextModelWithProjection"]
ALONE = [*(f"{name} cpu" for name in BASE), *CAPTIONER, *(f"{name} cpu:0" for name in BASE)]


@pytest.mark.parametrize(
    ("full", "moves"),
    [(0, CAPTIONER), (1, [*CAPTIONER, *ALONE]), (2, [*CAPTIONER, *ALONE])],
    ids=["both fit", "one fits", "none fits"],
)
def test_it_is_on_the_gpu_while_it_writes_and_without_the_base_model_if_both_do_not_fit(
    gpu: Gpu, llava: Path, monkeypatch: pytest.MonkeyPatch, full: int, moves: list[str]
) -> None:
    model, watch = CaptionModel(str(llava)), Moves(gpu, monkeypatch)
    model.load(watch.base)
    ask, left = vlm.ask, [full]

    def asked(*arguments: Any) -> list[str]:
        left[0] -= 1
        if left[0] >= 0:
            raise torch.OutOfMemoryError("full")
        return ask(*arguments)

    monkeypatch.setattr(vlm, "ask", asked)
    watch.patch()
    images, steps = [Image.new("RGB", (20, 30), colour) for colour in ("white", "black")], []

    def write() -> list[str]:
        return model.captions(images, DOG, base=watch.base, on_step=lambda *step: steps.append(step))

    if full == 2:
        with pytest.raises(GpuOutOfMemory):
            write()
    else:
        assert write() == [NAMED["white"], NAMED["black"]]
        assert steps == [(1, 2), (2, 2)]
    assert watch.seen == moves


def test_a_cancel_between_two_images_moves_it_back(gpu: Gpu, llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, watch = CaptionModel(str(llava)), Moves(gpu, monkeypatch)
    model.load(watch.base)
    watch.patch()

    def cancel(step: int, steps: int) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        model.captions([Image.new("RGB", (16, 16))] * 2, DOG, base=watch.base, on_step=cancel)
    assert watch.seen == CAPTIONER
