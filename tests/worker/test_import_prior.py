"""A LoRA of another program goes through the API and a worker's job, and is used, kept and deleted like a prior."""

import io
from datetime import timedelta

import httpx
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.torch import load, save

from ledger import artefacts, audit
from ledger.database import UnitOfWork
from ledger.models import Job, Prior, Project, Subject
from ledger.orphans import OrphanSweep
from ledger.states import State
from ledger.storage import Storage, project_prefix
from tests.support.editing import make_prior
from tests.support.factories import current, edit, verified
from tests.support.rows import known_since_long
from tests.support.running import run_job
from worker.context import WorkerContext


def submitted(api: TestClient, begin: UnitOfWork, subject: Subject, tensors: dict[str, torch.Tensor]) -> Job:
    """The job of an import of these tensors."""
    content = save(tensors)
    payload = {"content_type": "application/x-safetensors", "size": len(content)}
    upload = api.post("/v1/uploads", json=payload).raise_for_status().json()
    httpx.put(upload["url"], content=content, headers=upload["headers"]).raise_for_status()
    answer = api.post(f"/v1/subjects/{subject.id}/priors/import", json={"upload_id": upload["id"]})
    assert answer.status_code == 202, answer.text
    with begin() as session:
        return session.get_one(Job, answer.json()["id"])


def kohya(adapter: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The adapter with kohya's names, and half of its scale in the alpha of each layer."""
    tensors = {}
    for name, tensor in adapter.items():
        layer, _, part = name.removeprefix("unet.").removesuffix(".weight").rpartition(".lora_")
        flat = f"lora_unet_{layer.replace('.', '_')}"
        tensors[f"{flat}.lora_{'down' if part == 'A' else 'up'}.weight"] = tensor * (1 if part == "A" else 2)
        tensors[f"{flat}.alpha"] = torch.tensor(2.0)  # the rank is 4
    return tensors


def sweep(begin: UnitOfWork, storage: Storage) -> None:
    """Delete the orphans of the whole bucket, which has more keys than a page if other tests ran before."""
    orphans = OrphanSweep(begin, storage, settled=timedelta(seconds=-5))
    orphans.next_page()
    while orphans.after:
        orphans.next_page()


def test_an_imported_prior_edits_and_is_deleted_like_a_trained_one(
    context: WorkerContext, api: TestClient, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    adapter = make_prior(context.gpu.base_model()).adapter
    job = submitted(api, begin, subject, kohya(adapter))
    run_job(context, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    made = verified(begin, storage, job)
    assert [artefact.role for artefact in made] == ["adapter", "manifest"]
    torch.testing.assert_close(load(storage.get(made[0].key, made[0].sha256)), adapter)
    with begin() as session:
        prior = session.get_one(Prior, job.prior_id)
    manifest = prior.manifest or {}
    assert (manifest["token"], manifest["captions"]) == (subject.token, [])
    assert manifest["config"]["imported"]["file_sha256"] == job.parameters["import"]["sha256"]
    assert manifest["config"]["imported"]["ranks"] == [4]

    changed = edit(begin, storage, project, subject, job.prior_id, prompts=["a photo of sks dog jumping"])
    run_job(context, changed.id)
    assert current(begin, changed).error_detail is None
    with begin() as session:
        (image, *_) = artefacts.of_job(session, project.id, changed.id)
    assert Image.open(io.BytesIO(storage.get(image.key, image.sha256))).size == (64, 64)
    assert current(begin, changed).resolved["adapter_sha256"] == made[0].sha256

    imports = f"{project_prefix(project.id)}imports/"
    assert len(list(storage.keys(imports))) == 1
    known_since_long(begin)
    sweep(begin, storage)
    assert not list(storage.keys(imports))  # the prior is ready and has its adapter
    verified(begin, storage, job)
    assert api.delete(f"/v1/priors/{prior.id}").status_code == 204
    assert not list(storage.keys(f"{project_prefix(project.id)}jobs/{job.id}/"))
    hour = timedelta(hours=1)
    assert audit.audit(begin, storage, patience=hour, key_lifetime=24 * hour) == []


def test_a_file_that_does_not_fit_fails_and_can_be_retried(
    context: WorkerContext, api: TestClient, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    tensors = kohya(make_prior(context.gpu.base_model()).adapter)
    job = submitted(api, begin, subject, tensors | {"lora_te1_x.lora_up.weight": torch.zeros(4, 4)})
    run_job(context, job.id)
    failed = current(begin, job)
    assert (failed.state, failed.error_code) == (State.FAILED, "invalid_prior")
    assert "1 tensors that cannot be imported, such as lora_te1_x.lora_up.weight" in (failed.error_detail or "")
    known_since_long(begin)
    sweep(begin, storage)  # keeps the file
    retried = api.post(f"/v1/jobs/{job.id}/retry").json()
    run_job(context, retried["id"])
    answer = api.get(f"/v1/jobs/{retried['id']}").json()
    assert (answer["status"], answer["error"]["code"]) == ("failed", "invalid_prior")


# Autocast on the CPU gives torch's RMS norm bfloat16 for float32 weights, so that it takes a slower kernel.
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")
def test_a_klein_imports_a_lora_of_diffusers_and_edits_with_it(
    klein: WorkerContext, api: TestClient, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    adapter = make_prior(klein.gpu.base_model()).adapter
    job = submitted(api, begin, subject, adapter)
    run_job(klein, job.id)
    done = current(begin, job)
    assert (done.state, done.error_detail) == (State.SUCCEEDED, None)
    made = verified(begin, storage, job)[0]
    torch.testing.assert_close(load(storage.get(made.key, made.sha256)), adapter)
    assert done.resolved["fingerprint"] == klein.gpu.fingerprint

    changed = edit(begin, storage, project, subject, job.prior_id, prompts=["a photo of sks dog jumping"])
    run_job(klein, changed.id)
    assert (current(begin, changed).state, current(begin, changed).error_detail) == (State.SUCCEEDED, None)
    assert current(begin, changed).resolved["adapter_sha256"] == made.sha256


def test_a_lora_of_the_other_backbone_is_refused_in_words(
    context: WorkerContext, klein: WorkerContext, api: TestClient, begin: UnitOfWork, subject: Subject
) -> None:
    for own, other in ((context, klein), (klein, context)):
        job = submitted(api, begin, subject, make_prior(own.gpu.base_model()).adapter)
        run_job(other, job.id)
        failed = current(begin, job)
        assert (failed.state, failed.error_code) == (State.FAILED, "invalid_prior")
        reason = failed.error_detail or ""
        assert f"None of its tensors belongs to {other.gpu.name}, a base model of the family" in reason
        assert "import the LoRA for the base model that it was trained on" in reason
