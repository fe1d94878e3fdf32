"""The warnings of real jobs on the miniature, which knows drawings: a photo, and drawings."""

import io
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

from ledger import images, subjects
from ledger.database import UnitOfWork
from ledger.models import Image as ImageRow
from ledger.models import Job, Project, new_id
from ledger.states import State
from ledger.storage import Storage, image_prefix
from lipe_core import sdxl
from lipe_core.masks.presence import class_presence
from lipe_core.methods.request import Edit
from lipe_core.metrics.color import VISIBLE
from menagerie.experiment import image_of
from menagerie.models import CHECKPOINT
from menagerie.pool import drawing_of
from tests.support.factories import current, history, learn
from tests.support.running import run_job
from worker.context import WorkerContext
from worker.gpu import Gpu
from worker.job_warnings import poor_edit, subject_not_found

SHORT = {"steps": 1, "batch_size": 1, "preservation_batch_size": 0, "subject_emphasis": 1.0, "mirror": False}


@pytest.fixture(scope="module")
def miniature() -> Gpu:
    """The committed miniature, loaded once."""
    return Gpu(str(CHECKPOINT), device="cpu")


@pytest.fixture
def context(context: WorkerContext, miniature: Gpu) -> WorkerContext:
    """A worker process with the miniature."""
    return replace(context, gpu=miniature)


def photo() -> Image.Image:
    """A real photo of a person, in the public domain."""
    return Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")


def stored(begin: UnitOfWork, storage: Storage, project: Project, image: Image.Image) -> ImageRow:
    content, image_id = io.BytesIO(), new_id("img")
    image.save(content, "PNG")
    put = storage.put(image_prefix(project.id, image_id), "image.png", content.getvalue(), "image/png")
    with begin() as session:
        return images.add(session, project.id, image_id, put, width=image.width, height=image.height)


def training(begin: UnitOfWork, storage: Storage, project: Project, shown: list[Image.Image]) -> Job:
    rows = [stored(begin, storage, project, image) for image in shown]
    with begin() as session:
        subject = subjects.create(
            session, project.id, name="Ada", class_noun="woman", token="sks", images=rows,
            captions=["a photo of sks woman"] * len(rows),
        )  # fmt: skip
    return learn(begin, project, subject, **SHORT)


def test_photos_are_unlike_the_miniature_which_a_running_training_says(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project
) -> None:
    job = training(begin, storage, project, [photo(), image_of(drawing_of(1, 1)), photo().crop((100, 0, 400, 300))])
    run_job(context, job.id)
    ended = current(begin, job)
    assert (ended.state, ended.error_detail) == (State.SUCCEEDED, None)
    (warning,) = ended.warnings
    assert warning["code"] == "unlike_the_base_model"
    assert "2 of 3 images are unlike" in warning["message"]
    kinds = [event.type for event in history(begin, job)]
    assert kinds == ["prior.queued", "prior.running", "prior.warning", "prior.succeeded"]
    assert "seconds_checking" in ended.metrics


def test_the_miniatures_vae_separates_new_drawings_from_a_photo(miniature: Gpu) -> None:
    model = miniature.base_model()
    changes = [sdxl.color_change(model, image_of(drawing_of(3, k))) for k in range(8)]
    assert max(changes) < 0.7 * VISIBLE
    assert sdxl.color_change(model, photo()) > 1.3 * VISIBLE


@pytest.mark.parametrize(
    ("share", "codes"),
    [(0.81, ["mask_covers_nearly_all"]), (0.79, []), (1e-6, []), (0.0, ["nothing_changed"]), (None, [])],
)
def test_a_mask_that_covers_nearly_all_or_nothing_has_a_warning(share: float | None, codes: list[str]) -> None:
    measures = {} if share is None else {"mask_share": share}
    made = Edit("a photo of sks dog", 0, photo, photo, photo, None, {}, 1, {}, measures)
    warnings = poor_edit(made)
    assert [warning.code for warning in warnings] == codes
    words = {"mask_covers_nearly_all": "81% of the image may change", "nothing_changed": "equals the source"}
    assert all(words[warning.code] in warning.message for warning in warnings)


def test_a_source_without_the_class_has_a_warning_and_one_with_it_has_none(miniature: Gpu) -> None:
    model, drawings = miniature.base_model(), [drawing_of(555, k) for k in range(12)]
    for number, drawing in enumerate(drawings[:4]):
        noun = drawing.identity.class_noun
        other = next(later for later in drawings[number:] if later.identity.kind != drawing.identity.kind)
        shown, not_shown = (sdxl.encode_image(model, [image_of(each)]) for each in (drawing, other))
        assert subject_not_found(noun, float(class_presence(model, shown, noun))) == []
        (warning,) = subject_not_found(noun, float(class_presence(model, not_shown, noun)))
        assert (warning.code, f"finds no {noun}" in warning.message) == ("subject_not_found", True)
