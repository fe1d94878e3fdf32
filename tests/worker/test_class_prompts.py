"""Who writes the class prompts: the language model of the settings, or the built-in bank where it does not."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from ledger.database import UnitOfWork
from ledger.priors import Prior
from ledger.projects import Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from ledger.subjects import Subject
from lipe_core import sdxl
from lipe_core.captioning.class_prompts import bank_prompts
from lipe_core.captioning.prompt_writer import MOST_PROMPTS
from tests.support.chat import KEY, Chat, prompts, serving
from tests.support.factories import current, history, learn, verified
from worker import train
from worker.context import WorkerContext, make_context
from worker.gpu import Gpu
from worker.run_job import run_job

WRITTEN = ["a photo of a dog asleep", "a photo of a dog on its back"]
AT_ONCE = {"retry-after-ms": "1"}


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    """The language model: a local server."""
    with serving() as chat:
        yield chat


@pytest.fixture
def process(settings: Settings, engine: Engine, gpu: Gpu, chat: Chat) -> WorkerContext:
    """A worker process whose settings name that server."""
    named = {
        "prompt_writer_url": chat.endpoint.base_url,
        "prompt_writer_model": "tiny",
        "prompt_writer_key": SecretStr(KEY),
        "prompt_writer_timeout_seconds": 5.0,
    }
    return replace(make_context(settings.model_copy(update=named), engine, lambda: False), gpu=gpu)


def manifest(begin: UnitOfWork, prior_id: str | None) -> dict[str, Any]:
    with begin() as session:
        known = session.get_one(Prior, prior_id).manifest
    assert known is not None
    return known


def test_the_model_of_the_settings_writes_them_once_for_all_subjects_of_the_class(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, chat: Chat
) -> None:
    chat.plays(prompts(*WRITTEN))
    for _ in range(2):
        job = learn(begin, project, subject, steps=1)
        run_job(process, job.id)
        assert current(begin, job).error_detail is None
        assert current(begin, job).resolved["prompt_writer"] == "tiny"
        told = manifest(begin, job.prior_id)
        assert (told["class_prompts"], told["prompt_writer"]) == (WRITTEN, "tiny")
    (request,) = chat.requests
    assert request["authorization"] == f"Bearer {KEY}"
    assert [file.suffix for file in (process.settings.data_dir / "class_prompts").iterdir()] == [".json"]


@pytest.mark.parametrize(
    "steps",
    [
        [{"status": 401, "error": f"wrong key {KEY}"}],
        [{"status": 503, "error": "overloaded", "headers": AT_ONCE}] * 4,
        [prompts("a photo of a cat")] * 3,
    ],
    ids=["refused", "unavailable", "unusable"],
)
def test_without_an_answer_the_bank_is_taken_and_the_key_stays_secret(
    process: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, chat: Chat,
    caplog: pytest.LogCaptureFixture, steps: list[dict[str, Any]],
) -> None:  # fmt: skip
    for name in ("worker", "lipe_core", "openai", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    chat.plays(*steps)
    job = learn(begin, project, subject, steps=1)
    run_job(process, job.id)
    learnt, told = current(begin, job), manifest(begin, job.prior_id)
    assert (learnt.state, learnt.resolved["prompt_writer"], told["prompt_writer"]) == (State.SUCCEEDED, None, None)
    known = partial(sdxl.is_in_vocabulary, process.gpu.base_model())
    assert told["class_prompts"] == list(bank_prompts("dog", 2, 0, "animal", known).prompts)
    assert len(chat.requests) == len(steps)
    assert "the built-in class prompts are used" in caplog.text
    objects = b"".join(storage.get(artefact.key, artefact.sha256) for artefact in verified(begin, storage, job)).decode(
        errors="replace"
    )
    rows = json.dumps([learnt.resolved, learnt.metrics, learnt.progress, told, [e.type for e in history(begin, job)]])
    assert KEY not in caplog.text + objects + rows + repr(process)


def test_a_server_that_is_not_there_costs_no_training(
    process: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    assert process.prompt_writer is not None
    nowhere = replace(process.prompt_writer, base_url="http://127.0.0.1:9/v1", retries=0)
    job = learn(begin, project, subject, steps=1)
    run_job(replace(process, prompt_writer=nowhere), job.id)
    assert (current(begin, job).state, current(begin, job).resolved["prompt_writer"]) == (State.SUCCEEDED, None)


def test_more_prompts_than_a_model_is_asked_for_come_from_the_bank(
    process: WorkerContext,
    begin: UnitOfWork,
    project: Project,
    subject: Subject,
    chat: Chat,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chat.plays(prompts(*WRITTEN))
    monkeypatch.setattr(train, "MOST_PROMPTS", 1)
    job = learn(begin, project, subject, steps=1)
    run_job(process, job.id)
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
    process = make_context(settings.model_copy(update=named), engine, lambda: False)
    assert process.prompt_writer is not None
    assert process.caption_model is not None
    endpoint, model = process.prompt_writer, process.caption_model
    assert (endpoint.base_url, endpoint.api_key, endpoint.model) == ("http://127.0.0.1:9/v1", KEY, "m")
    assert (endpoint.timeout, model.checkpoint, model.revision, model.name) == (7.0, "org/llava", "abc", "org/llava")
