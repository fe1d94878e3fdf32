"""An edit job reads its images as the API stored them."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api.image_sanitizer import sanitize_image
from ledger.database import UnitOfWork
from ledger.models import Edit as EditRow
from ledger.models import Image as ImageRow
from ledger.models import Project, Subject
from ledger.states import State
from ledger.storage import Storage, image_prefix
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit, EditRequest
from tests.support.factories import current, edit
from tests.support.running import run_job
from worker.context import WorkerContext


def test_the_source_has_exactly_the_pixels_of_the_photo_that_the_user_sent(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    photo = io.BytesIO()
    Image.effect_noise((90, 70), 60).convert("RGB").save(photo, "JPEG", quality=92, comment=b"of the camera")
    image = sanitize_image(photo.getvalue(), max_bytes=1 << 20, min_side=64)
    job = edit(begin, storage, project, subject, None, method="sdedit", prompts=["a photo of sks dog jumping"])
    with begin() as session:
        edit_row = session.get(EditRow, job.edit_id)
        assert edit_row is not None
        row = session.get_one(ImageRow, edit_row.image_id)
        stored = storage.put(image_prefix(project.id, row.id), "image.jpg", image.content, image.content_type)
        row.key, row.sha256, row.width, row.height = stored.key, stored.sha256, image.width, image.height
    asked, method = list[EditRequest](), METHODS["sdedit"]

    def watched(model: Any, request: EditRequest, config: Any, **options: Any) -> list[Edit]:
        asked.append(request)
        return method.edit(model, request, config, **options)

    monkeypatch.setattr("worker.edit.METHODS", {**METHODS, "sdedit": method._replace(edit=watched)})
    run_job(context, job.id)
    assert current(begin, job).state == State.SUCCEEDED
    with Image.open(photo) as sent:
        assert np.array_equal(np.asarray(asked[0].image), np.asarray(sent))
