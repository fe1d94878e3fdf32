"""An edit that mixes an imported style into a subject's prior, through the API and a worker's job."""

from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from ledger.database import UnitOfWork
from ledger.models import Artefact, Job, Project, Subject
from ledger.states import State
from ledger.storage import Storage
from lipe_core.adapters.mixing import mixed
from lipe_core.adapters.prior import Prior
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit
from tests.support.editing import make_prior
from tests.support.factories import current, learn, make_subject, put_image, verified
from tests.support.running import run_job
from tests.worker.test_import_prior import submitted
from worker.context import WorkerContext

WEIGHT = 0.7


def images(rows: list[Artefact], storage: Storage) -> list[bytes]:
    return [storage.get(row.key, row.sha256) for row in rows if row.role == "image"]


def test_an_edit_uses_the_weighted_sum_of_both_priors(
    context: WorkerContext, api: TestClient, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model, used, method = context.gpu.base_model(), list[Prior](), METHODS["sdedit"]
    own = learn(begin, project, subject, steps=1, preservation_batch_size=0)
    style = submitted(api, begin, make_subject(begin, storage, project), make_prior(model).adapter)
    for job in (own, style):
        run_job(context, job.id)
        assert current(begin, job).state == State.SUCCEEDED

    def watched(*arguments: Any, prior: Prior, **options: Any) -> list[Edit]:
        used.append(prior)
        return method.edit(*arguments, prior=prior, **options)

    monkeypatch.setattr("worker.edit.METHODS", {**METHODS, "sdedit": method._replace(edit=watched)})
    image, results = put_image(begin, storage, project, 0), []
    for mix in (None, {"prior_id": style.prior_id, "weight": WEIGHT}):
        body = {
            "prior_id": own.prior_id, "image_id": image.id, "prompt": "a photo of sks dog", "mix": mix, "seed": 1,
            "method": "sdedit", "parameters": {"steps": 3},
        }  # fmt: skip
        with begin() as session:
            job = session.get_one(Job, api.post("/v1/edits", json=body).raise_for_status().json()["id"])
        run_job(context, job.id)
        done = current(begin, job)
        assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
        results.append((done.resolved["mix"], images(verified(begin, storage, job), storage)))
    plain, both = used
    expected = mixed(plain, make_prior(model), WEIGHT).adapter
    torch.testing.assert_close(both.adapter, expected)
    assert results[0][0] is None
    assert (results[1][0]["prior_id"], results[1][0]["weight"]) == (style.prior_id, WEIGHT)
    assert results[0][1] != results[1][1]
