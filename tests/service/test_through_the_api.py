"""From references to an edited image through the API, with real processes; a worker is killed during the training."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from subprocess import Popen

import httpx
import psutil
import pytest
from PIL import Image

from cli.embedded.process import free_port
from ledger import keys
from ledger.database import UnitOfWork
from ledger.models import Job, Prior, Project
from ledger.settings import Settings
from ledger.storage import Storage
from lipe_client import Client
from tests.support.factories import history, verified
from tests.support.kills import expire_lease
from tests.support.waiting import eventually

Program = Callable[..., Popen[bytes]]
STEPS = 70


@pytest.mark.slow
def test_a_job_of_a_killed_worker_succeeds_later(
    begin: UnitOfWork, storage: Storage, project: Project, settings: Settings, program: Program, tmp_path: Path
) -> None:
    port = free_port()
    program("api", "--port", str(port))
    program("dispatcher")
    worker = program("worker", "--queues", "priors,edits")
    with begin() as session:
        key = keys.create(session, settings.key_pepper.get_secret_value(), project.id, "test", scope="admin")[1]
    with Client(f"http://127.0.0.1:{port}", key) as lipe:
        eventually(lambda: _ready(port))
        references = [lipe.upload_image(_image(colour)) for colour in ("red", "green", "blue")]
        rex = lipe.create_subject(name="Rex", class_noun="dog", references=references)
        small = {"count": 2, "steps": 2}
        job = lipe.train_prior(rex, parameters={"steps": STEPS, "rank": 2}, regularization=small)
        for progress in lipe.progress(job):
            if progress.stage == "training" and (progress.step or 0) > 50:  # beyond the checkpoint at 50
                for process in [*psutil.Process(worker.pid).children(recursive=True), psutil.Process(worker.pid)]:
                    process.kill()
                break
        expire_lease(begin, row_of(begin, job.id))
        program("worker", "--queues", "priors,edits")
        job = lipe.wait(job)
        assert (job.status, job.attempt) == ("succeeded", 2)
        assert job.metrics["seconds_training"] > 0
        row = row_of(begin, job.id)
        statuses = [event.data["status"] for event in history(begin, row) if "status" in event.data]  # not warnings
        assert statuses == ["queued", "running", "queued", "running", "succeeded"]
        made = verified(begin, storage, row)
        roles = [artefact.role for artefact in made]
        assert [role for role in roles if role in ("adapter", "manifest")] == ["adapter", "manifest"]
        assert set(roles) <= {"adapter", "manifest", "preview", "snapshot", "snapshot_manifest"}
        with begin() as session:
            prior = session.get_one(Prior, row.prior_id)
        assert prior.manifest is not None
        assert prior.adapter_sha256 == made[0].sha256 == job.resolved["adapter_sha256"]
        assert len(prior.manifest["losses"]) == STEPS

        prompts = ["a photo of sks dog jumping", "a photo of sks dog sitting"]
        job = lipe.wait(lipe.edit(subject=rex, image=references[0], prompts=prompts, seed=3, parameters={"steps": 3}))
        results = lipe.results(job)
        assert [(result.prompt, result.seed) for result in results] == [(prompt, 3) for prompt in prompts]
        for result in results:
            for artefact in (result.image, result.source_mask, result.edit_mask):
                assert artefact is not None
                with Image.open(lipe.download(artefact, tmp_path / "file.png")) as image:
                    assert image.size == (96, 96)
        assert job.metrics.keys() >= {"seconds_queued", "seconds_inverting", "seconds_editing", "seconds_storing"}
        roles = [artefact.role for artefact in verified(begin, storage, row_of(begin, job.id))]
        assert roles == ["image", "source_mask", "edit_mask"] * 2


def row_of(begin: UnitOfWork, job_id: str) -> Job:
    with begin() as session:
        return session.get_one(Job, job_id)


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _image(colour: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (96, 96), colour).save(file, "PNG")
    return file.getvalue()
