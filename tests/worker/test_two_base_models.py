"""Two pools on one ledger, a miniature SDXL and a tiny klein: each job runs on a worker of its base model."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from ledger import base_models
from ledger.database import UnitOfWork
from ledger.models import Job, Project, Subject
from ledger.states import JobKind, State
from ledger.storage import Storage
from tests.support.factories import current, edit, learn, verified
from tests.support.running import run_job
from tests.support.waiting import eventually
from worker import presence, work
from worker.context import WorkerContext
from worker.work import Work

KINDS: tuple[JobKind, ...] = ("prior", "edit", "captions", "mask")
SMALL = {"parameters": {"steps": 2, "rank": 2}, "regularization": {"count": 2, "steps": 2}, "previews": 1}
PROMPT = "a photo of sks dog jumping"
# Autocast on the CPU gives torch's RMS norm bfloat16 for float32 weights, so that it takes a slower kernel.
pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")
Start = Callable[[WorkerContext], Work]


@pytest.fixture
def sdxl(context: WorkerContext) -> WorkerContext:
    """A worker of the miniature SDXL."""
    context.gpu.base_model()
    return replace(context, name="sdxl:1")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """`start(context)`: a worker that reports itself and runs jobs until the test ends."""
    monkeypatch.setattr(presence, "DRAINING_CHECK_SECONDS", 0.01)
    monkeypatch.setattr(work, "POLL_SECONDS", (0.05, 0.1))  # there is no broker that wakes a worker
    over = list[bool]()
    with ExitStack() as stack:

        def run(context: WorkerContext) -> Work:
            context = replace(context, draining=lambda: bool(over))
            running = Work(context, KINDS)
            report = presence.report_presence(context, KINDS, lambda: bool(over))
            running.start()
            stack.callback(report.join)
            stack.callback(running.finish)
            return running

        yield run
        over.append(True)


@pytest.mark.usefixtures("audited")
def test_each_job_runs_on_a_worker_of_its_base_model(
    api: TestClient, begin: UnitOfWork, storage: Storage, subject: Subject, upload: Callable[..., str],
    sdxl: WorkerContext, klein: WorkerContext, start: Start,
) -> None:  # fmt: skip
    def asked(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = api.post(path, json=body)
        assert answer.status_code == 202, answer.json()
        job: dict[str, Any] = answer.json()
        return job

    def ended(job: dict[str, Any]) -> dict[str, Any]:
        eventually(lambda: api.get(job["urls"]["self"]).json()["status"] not in ("queued", "running"))
        found: dict[str, Any] = api.get(job["urls"]["self"]).json()
        assert (found["status"], found["error"]) == ("succeeded", None)
        return found

    contexts = {context.gpu.name: context for context in (sdxl, klein)}
    fingerprints = {name: context.gpu.fingerprint for name, context in contexts.items()}
    start(klein)
    names = list(contexts)
    eventually(lambda: [model["name"] for model in api.get("/v1/models").json()["data"]] == [klein.gpu.name])
    with begin() as session:  # the pool of the miniature had a worker, and has none now
        base_models.remember(session, presence.describe_model(sdxl.gpu.base_model()))
    training = f"/v1/subjects/{subject.id}/priors"
    trainings = {name: asked(training, SMALL | {"base_model": name}) for name in names}
    assert {name: job["base_model"] for name, job in trainings.items()} == fingerprints
    ended(trainings[klein.gpu.name])
    waiting = api.get(trainings[sdxl.gpu.name]["urls"]["self"]).json()
    assert (waiting["status"], waiting["waiting"]["reason"]) == ("queued", "no_worker_has_its_base_model")

    start(sdxl)
    image = upload("white", (96, 96))
    few = {"image_id": image, "prompt": PROMPT, "seed": 3, "parameters": {"steps": 3}}
    for name, context in contexts.items():
        trained = ended(trainings[name])
        prior = api.get(trained["urls"]["result"]).json()
        assert prior["base_model"] == {"name": name, "fingerprint": fingerprints[name]}
        by_subject = asked("/v1/edits", few | {"subject_id": subject.id, "base_model": name})
        assert by_subject["prior_id"] == prior["id"]
        mask = asked("/v1/masks", {"prior_id": prior["id"], "image_id": image})
        for job in (trained, ended(by_subject), ended(mask)):
            assert (job["metrics"]["worker"], job["resolved"]["fingerprint"]) == (context.name, fingerprints[name])
        (result,) = api.get(f"/v1/edits/{by_subject['edit_id']}").json()["results"]
        row = _row(begin, by_subject["id"])
        content = storage.get(*next((a.key, a.sha256) for a in verified(begin, storage, row) if a.role == "image"))
        assert (result["prompt"], Image.open(io.BytesIO(content)).size) == (PROMPT, (96, 96))


def test_a_worker_refuses_a_prior_of_the_other_backbone_in_words(
    begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, sdxl: WorkerContext, klein: WorkerContext
) -> None:
    """A prior of before has no fingerprint in its job: any worker may have claimed the edit."""
    for own, other in ((sdxl, klein), (klein, sdxl)):
        learning = learn(begin, project, subject, steps=1)
        run_job(own, learning.id)
        foreign = edit(begin, storage, project, subject, learning.prior_id)
        run_job(other, foreign.id)
        job = current(begin, foreign)
        assert (job.state, job.error_code) == (State.FAILED, "prior_mismatch")
        assert f"trained on {own.gpu.name}" in (job.error_detail or "")
        assert "load that base model, or learn the prior again" in (job.error_detail or "")


def _row(begin: UnitOfWork, job_id: str) -> Job:
    with begin() as session:
        return session.get_one(Job, job_id)
