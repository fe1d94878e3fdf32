"""The worker's segmenter: loaded before the first job, and asked for each silhouette of an edit."""

from dataclasses import replace
from pathlib import Path

import pytest

from ledger import jobs
from ledger.database import UnitOfWork
from ledger.models import Project, Subject
from ledger.states import State
from ledger.storage import Storage
from lipe_core.errors import InvalidModel
from tests.support.factories import current, edit, put_image
from tests.support.running import run_job
from tests.support.tiny_sam2 import build_sam2
from worker.context import WorkerContext


@pytest.fixture
def segmenting(context: WorkerContext, tmp_path: Path) -> WorkerContext:
    """A worker whose settings name a segmenter."""
    build_sam2().save_pretrained(tmp_path / "sam2-tiny")
    gpu = replace(context.gpu, segmenter_checkpoint=str(tmp_path / "sam2-tiny"), _segmenter=None, _sources=None)
    return replace(context, gpu=gpu)


def test_an_edit_asks_it_for_source_and_result(
    segmenting: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    segmenting.warm_up()
    segmenter = segmenting.gpu.segmenter()
    assert segmenter is not None
    asked: list[object] = []
    segmenter.network.register_forward_hook(lambda *call: asked.append(call))
    job = edit(begin, storage, project, subject, None)
    run_job(segmenting, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail, done.resolved["segmenter"]) == (State.SUCCEEDED, None, "sam2-tiny")
    assert len(asked) == 3  # the look that chooses the crop, the source, and the result


def test_a_mask_before_an_edit_asks_it_too(
    segmenting: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    segmenter = segmenting.gpu.segmenter()
    assert segmenter is not None
    asked: list[object] = []
    segmenter.network.register_forward_hook(lambda *call: asked.append(call))
    image = put_image(begin, storage, project, 30)
    with begin() as session:
        job = jobs.submit(
            session, project.id, "mask", subject_id=subject.id, image_id=image.id, parameters={"image_id": image.id}
        )
    run_job(segmenting, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail, done.resolved["segmenter"]) == (State.SUCCEEDED, None, "sam2-tiny")
    assert asked


def test_a_worker_does_not_start_with_another_model(context: WorkerContext, tmp_path: Path) -> None:
    wrong = replace(context, gpu=replace(context.gpu, segmenter_checkpoint=str(tmp_path), _segmenter=None))
    with pytest.raises(InvalidModel, match="cannot be read as a SAM 2 model"):
        wrong.warm_up()
