"""Jobs of masks: the tiny model finds the silhouette that its own edits find."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from ledger import jobs
from ledger.database import UnitOfWork
from ledger.models import Edit, Job, Project, Subject
from ledger.states import State
from ledger.storage import Storage
from tests.support.factories import current, edit, history, put_image, verified
from tests.support.running import run_job
from worker.context import WorkerContext


def ask(begin: UnitOfWork, project: Project, subject: Subject, image_id: str) -> Job:
    parameters = {"image_id": image_id}
    with begin() as session:
        return jobs.submit(session, project.id, "mask", subject_id=subject.id, image_id=image_id, parameters=parameters)


def read(storage: Storage, key: str, sha256: str) -> Image.Image:
    return Image.open(io.BytesIO(storage.get(key, sha256)))


def test_the_mask_is_that_of_an_edit_of_the_same_image(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    made = edit(begin, storage, project, subject, None, ["a photo of sks dog asleep"])
    size = (150, 90)  # larger than the model's own size: it is cropped
    image = put_image(begin, storage, project, 30, size)
    with begin() as session:
        session.get_one(Edit, made.edit_id).image_id = image.id
    job = ask(begin, project, subject, image.id)
    run_job(context, job.id)
    run_job(context, made.id)
    done = current(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    (artefact,) = verified(begin, storage, job)
    assert (artefact.role, artefact.content_type) == ("source_mask", "image/png")
    mask = read(storage, artefact.key, artefact.sha256)
    assert (mask.mode, mask.size) == ("L", size)
    expected = next(file for file in verified(begin, storage, made) if file.role == "source_mask")
    assert np.array_equal(np.asarray(mask), np.asarray(read(storage, expected.key, expected.sha256)))
    assert done.resolved["share"] == pytest.approx(np.asarray(mask).mean() / 255, abs=1e-4)
    assert {"seconds_loading", "seconds_finding", "seconds_uploading"} <= done.metrics.keys()
    assert [event.type for event in history(begin, done)][-1] == "mask.succeeded"


def test_a_full_memory_ends_the_job_with_the_reason(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("worker.find_mask.find_subject", full)
    job = ask(begin, project, subject, put_image(begin, storage, project, 30).id)
    run_job(context, job.id)
    done = current(begin, job)
    assert (done.state, done.error_code) == (State.FAILED, "gpu_out_of_memory")
    assert verified(begin, storage, job) == []
