"""Regularization sets of common classes are generated on one machine and used by the others."""

from dataclasses import replace
from pathlib import Path

import pytest

from ledger.categories import has_known_words_only
from ledger.database import UnitOfWork
from ledger.models import Project, Subject
from ledger.states import State
from ledger.storage import Storage
from lipe_core.training import regularization
from tests.support.factories import current, learn
from tests.support.running import run_job
from worker import shared_sets, train
from worker.context import WorkerContext


@pytest.fixture
def another_machine(context: WorkerContext, tmp_path: Path) -> WorkerContext:
    """A worker with a data folder of its own."""
    return replace(context, settings=context.settings.model_copy(update={"data_dir": tmp_path / "another"}))


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch, storage: Storage) -> list[int]:
    """The number of prompts of each set that was generated. The storage has no sets of other tests."""
    storage.delete_prefix(shared_sets.PREFIX)
    sizes, generate = list[int](), regularization._generate

    def counted(model: object, prompts: list[str], *rest: object) -> object:
        sizes.append(len(prompts))
        return generate(model, prompts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(regularization, "_generate", counted)
    # The trainings of these tests ask for two images, which stand for the default.
    monkeypatch.setattr(train, "sets_for", lambda a, b, noun, own: shared_sets.sets_for(a, b, noun, {}))
    return sizes


@pytest.mark.parametrize("damage", ["none", "damaged", "away"])
def test_another_machine_uses_the_stored_set(
    context: WorkerContext, another_machine: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project,
    subject: Subject, generated: list[int], damage: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first, second = (learn(begin, project, subject, steps=1) for _ in range(2))
    run_job(context, first.id)
    (key,) = storage.keys(shared_sets.PREFIX)
    if damage == "damaged":
        storage.put_file(key, b"other bytes", "application/octet-stream")
    if damage == "away":
        storage.delete(key)
    run_job(another_machine, second.id)
    assert len(generated) == (1 if damage == "none" else 2)
    done = [current(begin, job) for job in (first, second)]
    assert [job.state for job in done] == [State.SUCCEEDED] * 2
    assert done[0].resolved["adapter_sha256"] == done[1].resolved["adapter_sha256"]
    assert len(list(storage.keys(shared_sets.PREFIX))) == 1


def test_nothing_that_a_user_chose_is_stored(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    generated: list[int],
) -> None:  # fmt: skip
    with begin() as session:
        session.get_one(Subject, subject.id).class_noun = "rex dog"
    run_job(context, learn(begin, project, subject, steps=1).id)
    assert len(generated) == 1
    assert not list(storage.keys(shared_sets.PREFIX))
    nouns = {"dog": True, "Dogs": True, "clay dog": True, "Teddy dogs": False, "": False}
    assert {noun: has_known_words_only(noun) for noun in nouns} == nouns


def test_a_set_by_settings_of_the_request_is_not_stored(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    generated: list[int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(train, "sets_for", shared_sets.sets_for)
    run_job(context, learn(begin, project, subject, steps=1).id)
    assert len(generated) == 1
    assert not list(storage.keys(shared_sets.PREFIX))


def test_the_oldest_sets_are_deleted(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    generated: list[int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(shared_sets, "MAX_SETS", 1)
    storage.put_file(f"{shared_sets.PREFIX}old/0-0.safetensors", b"old", "application/octet-stream")
    run_job(context, learn(begin, project, subject, steps=1).id)
    assert len(list(storage.keys(shared_sets.PREFIX))) == 1
