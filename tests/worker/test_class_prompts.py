"""Class prompts: written by the language model of the settings, or taken from the built-in bank without one."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from ledger.database import UnitOfWork
from ledger.models import Prior, Project, Subject
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from lipe_core.captioning.class_prompts import bank_prompts
from lipe_core.captioning.prompt_writer import MOST_PROMPTS
from tests.support.chat import KEY, Chat, prompts, serving
from tests.support.factories import current, history, learn, verified
from tests.support.running import run_job
from worker import train
from worker.context import WorkerContext, make_context
from worker.gpu import Gpu

WRITTEN = ["a photo of a dog asleep", "a photo of a dog on its back"]
AT_ONCE = {"retry-after-ms": "1"}


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    """A local server that stands for the language model."""
    with serving() as chat:
        yield chat


@pytest.fixture
def context(settings: Settings, engine: Engine, gpu: Gpu, chat: Chat) -> WorkerContext:
    """A context whose settings name that server."""
    named = {
        "prompt_writer_url": chat.endpoint.base_url,
        "prompt_writer_model": "tiny",
        "prompt_writer_key": SecretStr(KEY),
        "prompt_writer_timeout_seconds": 60.0,
    }
    return replace(make_context(settings.model_copy(update=named), engine, lambda: False), gpu=gpu)


def manifest(begin: UnitOfWork, prior_id: str | None) -> dict[str, Any]:
    with begin() as session:
        saved = session.get_one(Prior, prior_id).manifest
    assert saved is not None
    return saved


def test_the_language_model_writes_them_once_for_all_subjects_of_the_class(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, chat: Chat
) -> None:
    chat.plays(prompts(*WRITTEN))
    for _ in range(2):
        job = learn(begin, project, subject, steps=1)
        run_job(context, job.id)
        assert current(begin, job).error_detail is None
        assert current(begin, job).resolved["prompt_writer"] == "tiny"
        saved = manifest(begin, job.prior_id)
        assert (saved["class_prompts"], saved["prompt_writer"]) == (WRITTEN, "tiny")
    (request,) = chat.requests
    assert request["authorization"] == f"Bearer {KEY}"
    assert [file.suffix for file in (context.settings.data_dir / "class_prompts").iterdir()] == [".json"]


@pytest.mark.parametrize(
    "steps",
    [
        [{"status": 401, "error": f"wrong key {KEY}"}],
        [{"status": 503, "error": "overloaded", "headers": AT_ONCE}] * 4,
        [prompts("a photo of a cat")] * 3,
    ],
    ids=["refused", "unavailable", "unusable"],
)
def test_without_a_usable_answer_the_bank_is_used_and_the_key_stays_secret(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, chat: Chat,
    caplog: pytest.LogCaptureFixture, steps: list[dict[str, Any]],
) -> None:  # fmt: skip
    for name in ("worker", "lipe_core", "openai", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    chat.plays(*steps)
    job = learn(begin, project, subject, steps=1)
    run_job(context, job.id)
    learned, saved = current(begin, job), manifest(begin, job.prior_id)
    assert (learned.state, learned.resolved["prompt_writer"], saved["prompt_writer"]) == (State.SUCCEEDED, None, None)
    known_words = context.gpu.base_model().is_in_vocabulary
    assert saved["class_prompts"] == list(bank_prompts("dog", 2, 0, "animal", known_words).prompts)
    assert len(chat.requests) == len(steps)
    assert "the built-in class prompts are used" in caplog.text
    objects = b"".join(storage.get(artefact.key, artefact.sha256) for artefact in verified(begin, storage, job)).decode(
        errors="replace"
    )
    rows = json.dumps(
        [learned.resolved, learned.metrics, learned.progress, saved, [e.type for e in history(begin, job)]]
    )
    assert KEY not in caplog.text + objects + rows + repr(context)


def test_without_the_server_the_training_succeeds(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    assert context.prompt_writer is not None
    nowhere = replace(context.prompt_writer, base_url="http://127.0.0.1:9/v1", retries=0)
    job = learn(begin, project, subject, steps=1)
    run_job(replace(context, prompt_writer=nowhere), job.id)
    assert (current(begin, job).state, current(begin, job).resolved["prompt_writer"]) == (State.SUCCEEDED, None)


def test_more_prompts_than_the_model_may_write_come_from_the_bank(
    context: WorkerContext,
    begin: UnitOfWork,
    project: Project,
    subject: Subject,
    chat: Chat,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chat.plays(prompts(*WRITTEN))
    monkeypatch.setattr(train, "MOST_PROMPTS", 1)
    job = learn(begin, project, subject, steps=1)
    run_job(context, job.id)
    assert (current(begin, job).state, current(begin, job).resolved["prompt_writer"]) == (State.SUCCEEDED, None)
    assert chat.requests == []
    assert MOST_PROMPTS > 1


def test_the_settings_reach_the_endpoint(settings: Settings, engine: Engine) -> None:
    plain = make_context(settings, engine, lambda: False)
    assert (plain.prompt_writer, plain.caption_model) == (None, None)
    named = {
        "prompt_writer_url": "http://127.0.0.1:9/v1", "prompt_writer_model": "m", "prompt_writer_key": SecretStr(KEY),
        "prompt_writer_timeout_seconds": 7.0, "captioner": "org/llava", "captioner_revision": "abc",
    }  # fmt: skip
    context = make_context(settings.model_copy(update=named), engine, lambda: False)
    assert context.prompt_writer is not None
    assert context.caption_model is not None
    endpoint, model = context.prompt_writer, context.caption_model
    assert (endpoint.base_url, endpoint.api_key, endpoint.model) == ("http://127.0.0.1:9/v1", KEY, "m")
    assert (endpoint.timeout, model.checkpoint, model.revision, model.name) == (7.0, "org/llava", "abc", "org/llava")
