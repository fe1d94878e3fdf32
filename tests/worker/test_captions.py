"""Jobs of captions, and edits whose target prompt the service makes: real models of tiny size."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import Engine

from ledger import images, jobs
from ledger.database import UnitOfWork
from ledger.models import Edit, Job, Project, Subject
from ledger.models import Image as ImageRow
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from lipe_core.captioning.phrase_check import Phrase
from tests.support.chat import Chat, serving
from tests.support.factories import current, edit, history
from tests.support.running import run_job
from tests.support.tiny_judges import write_clip
from tests.support.tiny_llava import CAPTIONS, write_llava
from worker.caption_checker import CaptionChecker
from worker.context import WorkerContext, make_context
from worker.gpu import Gpu
from worker.job_warnings import doubtful_captions

NAMED = {colour: lesson.replace("dog", "sks dog") for colour, lesson in CAPTIONS.items()}


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captioner") / "llava-tiny"
    write_llava(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder)
    return folder


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    with serving() as chat:
        yield chat


@pytest.fixture
def context(settings: Settings, engine: Engine, gpu: Gpu, llava: Path, clip: Path) -> WorkerContext:
    settings = settings.model_copy(update={"captioner": str(llava), "caption_checker": str(clip)})
    return replace(make_context(settings, engine, lambda: False), gpu=gpu)


def ask(
    begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, *colours: str, **parameters: Any
) -> Job:
    """A job of captions for new images of these colours."""
    with begin() as session:
        ids = [reference.image_id for reference in subject.references[: len(colours)]]
        for image_id, colour in zip(ids, colours, strict=True):
            recolour(session.get_one(ImageRow, image_id), storage, project, colour)
        return jobs.submit(
            session, project.id, "captions", subject_id=subject.id, parameters={"image_ids": ids, **parameters}
        )


def recolour(row: ImageRow, storage: Storage, project: Project, colour: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(content, "PNG")
    stored = storage.put(f"projects/{project.id}/images/{row.id}/", "plain.png", content.getvalue(), "image/png")
    row.key, row.size, row.sha256 = stored.key, stored.size, stored.sha256


def test_each_image_gets_its_caption_target_prompt_and_scored_phrases(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = ask(begin, storage, project, subject, "white", "black", action="asleep")
    run_job(context, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    assert done.resolved["captioner"] == "llava-tiny"
    white, black = done.resolved["captions"]
    assert (white["caption"], black["caption"]) == (NAMED["white"], NAMED["black"])
    assert white["target_prompt"] == "a sks dog asleep in a meadow"
    assert black["target_prompt"] == "a sks dog asleep"
    assert [phrase["text"] for phrase in white["phrases"]] == ["sitting in a meadow"]
    assert white["phrases"][0]["is_doubtful"] == (white["phrases"][0]["score"] < -3)
    assert [event.type for event in history(begin, done)][-1] == "captions.succeeded"
    assert {"seconds_captioning", "seconds_checking", "seconds_writing"} <= done.metrics.keys()


def test_a_worker_of_a_klein_writes_the_same_captions(
    context: WorkerContext,
    klein: WorkerContext,
    begin: UnitOfWork,
    storage: Storage,
    project: Project,
    subject: Subject,
) -> None:
    made = []
    for worker in (context, klein):
        job = ask(begin, storage, project, subject, "white", "black", action="asleep")
        run_job(worker, job.id)
        assert (current(begin, job).state, current(begin, job).error_detail) == (State.SUCCEEDED, None)
        made.append(current(begin, job).resolved["captions"])
    assert made[0] == made[1]


def test_the_language_model_writes_the_target_prompt_and_grammar_replaces_a_bad_one(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, chat: Chat
) -> None:
    context = replace(context, prompt_writer=chat.endpoint)
    chat.plays({"content": {"prompt": "a sks dog curled up in a meadow"}}, {"content": {"prompt": "a cat"}})
    job = ask(begin, storage, project, subject, "white", "white", action="asleep")
    run_job(context, job.id)
    prompts = [caption["target_prompt"] for caption in current(begin, job).resolved["captions"]]
    assert prompts == ["a sks dog curled up in a meadow", "a sks dog asleep in a meadow"]


def test_an_edit_by_action_keeps_the_scene_of_its_source_and_shows_the_prompt(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = edit(begin, storage, project, subject, None)
    with begin() as session:
        stored, row = session.get_one(Edit, job.edit_id), session.get_one(Job, job.id)
        stored.target_prompts = ["a photo of sks dog asleep"]
        row.parameters = row.parameters | {"action": "asleep"}
        recolour(session.get_one(ImageRow, stored.image_id), storage, project, "white")
    run_job(context, job.id)
    made = current(begin, job)
    assert (made.state, made.error_detail) == (State.SUCCEEDED, None)
    assert made.resolved["source_prompt"] == NAMED["white"]
    assert made.resolved["target_prompts"] == ["a sks dog asleep in a meadow"]
    with begin() as session:
        assert session.get_one(Edit, job.edit_id).target_prompts == ["a sks dog asleep in a meadow"]


def test_a_job_without_a_captioner_or_with_a_deleted_image_says_what_to_do(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    without, deleted = (ask(begin, storage, project, subject, "white") for _ in range(2))
    run_job(replace(context, caption_model=None), without.id)
    failed = current(begin, without)
    assert (failed.state, failed.error_code) == (State.FAILED, "captioner_unavailable")
    assert "its operator sets LIPE_CAPTIONER" in str(failed.error_detail)
    with begin() as session:
        session.get_one(Job, deleted.id).parameters = {"image_ids": ["img_deleted"]}
        assert images.get(session, project.id, "img_deleted") is None
    run_job(context, deleted.id)
    failed = current(begin, deleted)
    assert (failed.error_code, failed.error_detail) == (
        "invalid_request", "the image img_deleted was deleted: ask for the captions of the others",
    )  # fmt: skip


def test_a_checker_that_cannot_be_loaded_checks_nothing_and_fails_no_job(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    context = replace(context, caption_checker=CaptionChecker(str(tmp_path / "no-clip")))
    job = ask(begin, storage, project, subject, "white", "black")
    run_job(context, job.id)
    done = current(begin, job)
    assert (done.state, [caption["phrases"] for caption in done.resolved["captions"]]) == (State.SUCCEEDED, [[], []])
    assert caplog.text.count("LIPE_CAPTION_CHECKER cannot be loaded") == 1


def test_doubtful_phrases_become_one_warning() -> None:
    phrases = [[Phrase("asleep", -4.0), Phrase("in a meadow", 2.0)], [Phrase("jumping", -3.5)]]
    (warning,) = doubtful_captions(phrases)
    assert warning.code == "caption_doubtful"
    assert warning.message.startswith("CLIP does not see 'asleep' of image 1, 'jumping' of image 2; look")
    assert doubtful_captions([[Phrase("in a meadow", -2.9)]]) == []
    (many,) = doubtful_captions([[Phrase(str(number), -9.0) for number in range(8)]])
    assert "and 3 more" in many.message
