"""Real processes: what a killed, a draining and a cancelled worker leave behind, and how the job ends."""

import io
import signal
import time
from collections.abc import Callable
from subprocess import Popen
from typing import Any

import psutil
from PIL import Image

from ledger import artefacts, edits, events, images, jobs, priors, subjects
from ledger.database import UnitOfWork, new_id
from ledger.jobs import Job
from ledger.projects import Project
from ledger.settings import Settings
from ledger.states import TERMINAL, State
from ledger.storage import Storage, StoredObject, image_prefix
from ledger.subjects import Subject

Program = Callable[..., Popen[bytes]]
STEPS = 150


def test_a_job_outlives_its_killed_worker_and_its_prior_edits_a_picture(
    begin: UnitOfWork, storage: Storage, project: Project, program: Program
) -> None:
    subject = make_subject(begin, storage, project)
    job = learn(begin, project, subject, steps=STEPS)
    program("dispatcher")
    worker = program("worker", "--queues", "priors,edits")
    at_step(begin, job, 60)  # beyond the first checkpoint, which is at 50
    for process in [*psutil.Process(worker.pid).children(recursive=True), psutil.Process(worker.pid)]:
        process.kill()
    program("worker", "--queues", "priors,edits")
    job = ended(begin, job)
    assert (job.state, job.error_detail) == (State.SUCCEEDED, None)
    assert job.attempt == 2
    assert job.metrics["seconds_training"] > 0
    resumed = [event.data for event in history(begin, job)]
    assert [data["status"] for data in resumed] == ["queued", "running", "queued", "running", "succeeded"]
    made = verified(begin, storage, job)
    assert [artefact.role for artefact in made] == ["adapter", "manifest"]
    with begin() as session:
        prior = priors.default(session, project.id, subject.id)
    assert prior.adapter_sha256 == made[0].sha256 == job.resolved["adapter_sha256"]
    assert len(prior.manifest["losses"]) == STEPS

    edit_job = ended(begin, edit(begin, storage, project, subject, prior.id))
    assert (edit_job.state, edit_job.error_detail) == (State.SUCCEEDED, None)
    roles = ["image", "source_mask", "edit_mask", "uncomposited"]
    assert [artefact.role for artefact in verified(begin, storage, edit_job)] == roles * 2
    assert edit_job.metrics.keys() >= {"seconds_queued", "seconds_inverting", "seconds_editing", "seconds_uploading"}


def test_a_draining_worker_hands_the_job_back_uncharged(
    begin: UnitOfWork, storage: Storage, project: Project, program: Program, settings: Settings
) -> None:
    job = learn(begin, project, make_subject(begin, storage, project), steps=STEPS)
    program("dispatcher")
    worker = program("worker", "--queues", "priors")
    at_step(begin, job, 10)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    released = current(begin, job)
    assert (released.state, released.attempt, released.epoch) == (State.QUEUED, 0, 1)
    assert len(list((settings.data_dir / "checkpoints").glob(f"{job.id}.*"))) == 1
    with begin() as session:
        jobs.cancel(session, project.id, job.id)
    assert current(begin, job).state == State.CANCELED


def test_a_cancelled_training_stops_at_once_and_leaves_nothing(
    begin: UnitOfWork, storage: Storage, project: Project, program: Program, settings: Settings
) -> None:
    job = learn(begin, project, make_subject(begin, storage, project), steps=100_000)
    program("dispatcher")
    program("worker", "--queues", "priors")
    at_step(begin, job, 55)
    with begin() as session:
        jobs.cancel(session, project.id, job.id)
    assert ended(begin, job, seconds=10).state == State.CANCELED
    wait_for(lambda: not list((settings.data_dir / "checkpoints").glob("*.safetensors")), seconds=10)
    assert [event.type for event in history(begin, job)] == ["prior.queued", "prior.running", "prior.canceled"]
    assert list(storage.keys(f"projects/{project.id}/jobs/{job.id}/")) == []
    next_job = learn(begin, project, make_subject(begin, storage, project), steps=3)
    assert ended(begin, next_job).state == State.SUCCEEDED


def test_a_job_that_cannot_be_done_fails_with_its_code(
    begin: UnitOfWork, storage: Storage, project: Project, program: Program
) -> None:
    subject = make_subject(begin, storage, project)
    unknown = learn(begin, project, subject, momentum=0.9)
    nameless = edit(begin, storage, project, subject, None, prompts=["a photo of a cat"])
    program("dispatcher")
    program("worker", "--queues", "priors,edits")
    assert ended(begin, unknown).error_code == "invalid_parameters"
    assert "momentum" in current(begin, unknown).error_detail
    assert ended(begin, nameless).error_code == "invalid_request"


def make_subject(begin: UnitOfWork, storage: Storage, project: Project) -> Subject:
    rows = [put_image(begin, storage, project, shade) for shade in (40, 120, 200)]
    with begin() as session:
        return subjects.create(
            session, project.id, name="Rex", class_noun="dog", token="sks", images=rows,
            captions=["a dog sitting", None, "a photo of sks dog jumping"],
        )  # fmt: skip


def put_image(begin: UnitOfWork, storage: Storage, project: Project, shade: int) -> images.Image:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).point(lambda level: (level + shade) % 256).convert("RGB").save(
        content, "PNG"
    )
    image_id = new_id("img")
    stored = storage.put(image_prefix(project.id, image_id), "image.png", content.getvalue(), "image/png")
    with begin() as session:
        return images.add(session, project.id, image_id, stored, width=64, height=64)


def learn(begin: UnitOfWork, project: Project, subject: Subject, **config: Any) -> Job:
    parameters = {"prior": {"rank": 2, **config}, "regularization": {"count": 2, "steps": 2}}
    with begin() as session:
        prior = priors.create(session, project.id, subject.id)
        return jobs.submit(
            session, project.id, "prior", subject_id=subject.id, prior_id=prior.id, parameters=parameters
        )


def edit(
    begin: UnitOfWork,
    storage: Storage,
    project: Project,
    subject: Subject,
    prior_id: str | None,
    prompts: list[str] | None = None,
) -> Job:
    image = put_image(begin, storage, project, 0)
    with begin() as session:
        row = edits.create(
            session, project.id, subject_id=subject.id, prior_id=prior_id, image_id=image.id,
            target_prompts=prompts or ["a photo of sks dog jumping", "a photo of sks dog sitting"],
        )  # fmt: skip
        return jobs.submit(
            session, project.id, "edit", subject_id=subject.id, prior_id=prior_id, edit_id=row.id,
            parameters={"nima": {"steps": 3}, "seeds": [7]},
        )  # fmt: skip


def current(begin: UnitOfWork, job: Job) -> Job:
    with begin() as session:
        return session.get_one(Job, job.id)


def at_step(begin: UnitOfWork, job: Job, step: int) -> None:
    def reached() -> bool:
        now = current(begin, job)
        assert now.status not in TERMINAL, f"{now.error_code}: {now.error_detail}"
        return now.progress.get("stage") == "training" and now.progress["step"] >= step

    wait_for(reached, seconds=120)


def ended(begin: UnitOfWork, job: Job, seconds: float = 120) -> Job:
    wait_for(lambda: current(begin, job).status in TERMINAL, seconds)
    return current(begin, job)


def history(begin: UnitOfWork, job: Job) -> list[events.JobEvent]:
    with begin() as session:
        return events.after(session, job.project_id, job.id, 0)


def verified(begin: UnitOfWork, storage: Storage, job: Job) -> list[artefacts.Artefact]:
    with begin() as session:
        made = artefacts.of_job(session, job.project_id, job.id)
    for artefact in made:
        assert storage.verify(StoredObject(artefact.key, artefact.size, artefact.sha256))
    return made


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
