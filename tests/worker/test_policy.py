"""The operator's policy on results: a refused one is deleted and never visible, and an allowed one is as without it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from examples.policy.app import make_app as make_policy
from examples.policy.classifiers import RefuseSmall
from examples.policy.prompt_list import PromptList
from ledger import artefacts, decisions
from ledger.database import UnitOfWork
from ledger.models import Project, Subject
from ledger.storage import Storage, job_prefix
from tests.support.factories import current, edit, history, learn, verified
from tests.support.policy import SECRET, asking, running, saying
from tests.support.receiver import receiving
from tests.support.running import run_job
from worker import policy
from worker.context import WorkerContext

PROMPTS = ["a photo of sks dog jumping"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that does not answer is asked once more, at once."""
    monkeypatch.setattr(policy, "RETRY_SECONDS", (0,))


def outcomes(begin: UnitOfWork, project: Project) -> list[tuple[str, str, str | None]]:
    with begin() as session:
        lines = list(decisions.export(session, project.id))
    return [(line["kind"], line["outcome"], line["reason"]) for line in lines]


def edited(context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, url: str, **to: Any) -> Any:
    job = edit(begin, context.storage, project, subject, None, PROMPTS, method="sdedit")
    run_job(replace(context, settings=asking(context.settings, url, **to)), job.id)
    return current(begin, job)


@pytest.mark.parametrize("least", [32, 4096])
def test_the_example_policy_sees_a_result_before_anyone_else(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, least: int
) -> None:
    with running(make_policy(SECRET, PromptList(()), RefuseSmall(least))) as url:
        job = edited(context, begin, project, subject, url)
    stored = list(storage.keys(job_prefix(project.id, job.id)))
    if least == 32:
        assert (job.state, len(verified(begin, storage, job))) == ("succeeded", 3)
        assert outcomes(begin, project) == [("result", "allowed", None)]
        return
    assert (job.state, job.error_code, stored, job.partial) == ("failed", "refused_by_policy", [], {})
    assert "at least 4096 are required" in job.error_detail
    types = [event.type for event in history(begin, job)]
    assert (types[-1], "edit.output" in types) == ("edit.failed", False)
    with begin() as session:
        assert artefacts.of_job(session, project.id, job.id) == []
    assert outcomes(begin, project) == [("result", "refused", "too_small")]


def test_a_question_has_all_visible_images_and_no_mask(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    with receiving(saying({"decision": "allow"})) as receiver:
        edited(context, begin, project, subject, receiver.url)
    data = json.loads(receiver.seen[0][1])["data"]
    assert [image["role"] for image in data["images"]] == ["image"]
    assert data["prompts"] == [{"role": "target", "text": PROMPTS[0]}]


@pytest.mark.parametrize(("fails", "state"), [("closed", "failed"), ("open", "succeeded")])
def test_a_policy_that_is_away(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, fails: str,
    state: str,
) -> None:  # fmt: skip
    job = edited(context, begin, project, subject, "http://127.0.0.1:9/", fails=fails)
    assert (job.state, job.error_code) == (state, "policy_unavailable" if state == "failed" else None)
    assert bool(list(storage.keys(job_prefix(project.id, job.id)))) is (state == "succeeded")
    assert outcomes(begin, project) == [("result", f"failed_{fails}", "no_answer")]


def test_a_closed_policy_is_asked_again_and_its_answer_counts(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    with receiving(500, saying({"decision": "allow"})) as receiver:
        assert edited(context, begin, project, subject, receiver.url).state == "succeeded"
    assert outcomes(begin, project) == [("result", "allowed", None)]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (saying({"decision": "allow"}), "allowed"),
        (saying({"decision": "refuse", "code": "no"}), "refused"),
        (500, "failed_closed"),
    ],
)
def test_a_preview_is_visible_only_if_the_policy_allows_it(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, answer: Any,
    outcome: str,
) -> None:  # fmt: skip
    job = learn(begin, project, subject, steps=1)
    with begin() as session:
        session.merge(job).parameters = job.parameters | {"previews": 1}
    with receiving(answer) as receiver:
        run_job(replace(context, settings=asking(context.settings, receiver.url)), job.id)
    assert current(begin, job).state == "succeeded"
    ((_, body),) = receiver.seen
    assert [image["role"] for image in json.loads(body)["data"]["images"]] == ["preview"]
    with begin() as session:
        roles = [file.role for file in artefacts.of_job(session, project.id, job.id)]
    assert sorted(roles) == ["adapter", "manifest"] + ["preview"] * (outcome == "allowed")
    stored = [key for key in storage.keys(job_prefix(project.id, job.id)) if "preview" in key]
    assert len(stored) == (outcome == "allowed")
    assert [(kind, result) for kind, result, _ in outcomes(begin, project)] == [("result", outcome)]
