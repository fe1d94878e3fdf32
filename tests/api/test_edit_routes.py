"""Edits: invalid requests, and edits without a prior."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ledger import attempts, workers
from ledger.artefacts import NewArtefact
from ledger.database import UnitOfWork
from ledger.models import Job
from ledger.partial_results import PartialResults
from ledger.storage import Storage, attempt_prefix
from tests.support.api_fixtures import Refuse

Upload = Callable[..., str]
DOG, HOOK = "a photo of sks dog jumping", "http://127.0.0.1:9/"


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"prompt": ""}, 422, "prompt_empty", "prompt"),
        ({"prompt": "  \n"}, 422, "prompt_empty", "prompt"),
        ({"prompt": None, "prompts": [DOG, " "]}, 422, "prompt_empty", "prompts[1]"),
        ({"prompt": "a dog jumping"}, 422, "prompt_without_subject", "prompt"),
        ({"prompt": "a photo of sks doghouse"}, 422, "prompt_without_subject", "prompt"),
        ({"source_prompt": "a dog"}, 422, "prompt_without_subject", "source_prompt"),
        ({"prompt": DOG + "." * 500}, 422, "invalid_request", "prompt"),
        ({"prompt": None}, 422, "invalid_request", "body"),
        ({"prompts": [DOG]}, 422, "invalid_request", "body"),
        ({"prompt": None, "prompts": []}, 422, "invalid_request", "prompts"),
        ({"prompt": None, "prompts": [f"{DOG} {k}" for k in range(9)]}, 422, "invalid_request", "prompts"),
        ({"subject_id": "sub_1"}, 422, "invalid_request", "body"),
        ({"prior_id": "pri_unknown"}, 404, "not_found", "prior_id"),
        ({"prior_id": None, "subject_id": "sub_unknown"}, 404, "not_found", "subject_id"),
        ({"image_id": "img_unknown"}, 404, "not_found", "image_id"),
        ({"mask_image_id": "img_unknown"}, 404, "not_found", "mask_image_id"),
        ({"method": "magic"}, 422, "invalid_request", "method"),
        ({"parameters": {"step": 3}}, 422, "invalid_request", "parameters.step"),
        ({"parameters": {"steps": 0}}, 422, "invalid_request", "parameters.steps"),
        ({"parameters": {"looks": [0.5]}}, 422, "invalid_request", "parameters.looks"),
        ({"parameters": {"mask_mode": "target"}}, 422, "invalid_request", "parameters.mask_mode"),
        ({"parameters": {"margin": 0.6}}, 422, "invalid_request", "parameters.margin"),
        ({"seeds": [1, 1]}, 422, "invalid_request", "body"),
        ({"seed": -1}, 422, "invalid_request", "seed"),
        ({"seeds": [1, 2], "parameters": {"renoise": 0}}, 422, "invalid_request", "body"),
        ({"n": 2, "method": "ddim"}, 422, "invalid_request", "body"),
        ({"n": 2, "method": "nima_single_pass"}, 422, "invalid_request", "body"),
        ({"method": "masactrl", "parameters": {"renoise": 0.5}}, 422, "invalid_request", "parameters.renoise"),
        ({"method": "ledits", "parameters": {"steps": 1}}, 422, "invalid_request", "parameters.steps"),
        ({"method": "mystyle", "parameters": {"beta": -1}}, 422, "invalid_request", "parameters.beta"),
        ({"n": 2, "method": "mystyle"}, 422, "invalid_request", "body"),
        (
            {"method": "reference_tokens", "parameters": {"images": "none"}},
            422,
            "invalid_request",
            "parameters.images",
        ),
        ({"negative_prompt": "blurry", "method": "ledits"}, 422, "invalid_request", "body"),
        ({"negative_prompt": "blurry", "parameters": {"guidance_scale": 1}}, 422, "invalid_request", "parameters"),
        ({"negative_prompt": "x" * 501}, 422, "invalid_request", "negative_prompt"),
        ({"preset": "better"}, 422, "invalid_request", "preset"),
        ({"method": "ddim", "identity": "high"}, 422, "invalid_request", "body"),
        ({"method": "sdedit", "change": "small"}, 422, "invalid_request", "body"),
        ({"method": "masactrl", "parameters": {"start_step": 51}}, 422, "invalid_request", "parameters"),
        ({"method": "dreamctrl", "parameters": {"steps": 3}}, 422, "invalid_request", "parameters"),
        ({"method": "sdedit", "parameters": {"steps": 1, "strength": 0.4}}, 422, "invalid_request", "parameters"),
        ({"method": "ledits", "parameters": {"warmup_steps": 60}}, 422, "invalid_request", "parameters"),
        ({"use_prior": False}, 422, "invalid_request", "body"),
        ({"output_format": "gif"}, 422, "invalid_request", "output_format"),
        ({"include": ["masks"]}, 422, "invalid_request", "include[0]"),
        ({"include": ["uncomposited", "uncomposited"]}, 422, "invalid_request", "include"),
        ({"output_quality": 80}, 422, "invalid_request", "output_quality"),
        ({"output_format": "png", "output_quality": 80}, 422, "invalid_request", "output_quality"),
        ({"output_format": "jpeg", "output_quality": 0}, 422, "invalid_request", "output_quality"),
        ({"output_format": "webp", "output_quality": 101}, 422, "invalid_request", "output_quality"),
        ({"webhook_events": ["edit.output"]}, 422, "invalid_request", "webhook_events"),
        ({"webhook_url": HOOK, "webhook_events": []}, 422, "invalid_request", "webhook_events"),
        ({"webhook_url": HOOK, "webhook_events": ["prior.started"]}, 422, "invalid_request", "webhook_events[0]"),
        ({"webhook_url": "ftp://example.org"}, 422, "webhook_url_forbidden", "webhook_url"),
        ({"webhook_url": "http://host.invalid/"}, 422, "webhook_url_forbidden", "webhook_url"),
        ({"webhook_url": "http://user:word@127.0.0.1/"}, 422, "webhook_url_forbidden", "webhook_url"),
    ],
)
def test_edits(
    api: TestClient,
    refused: Refuse,
    prior: str,
    upload: Upload,
    change: dict[str, Any],
    status: int,
    code: str,
    param: str,
) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG} | change
    assert refused(status, code, api.post, "/v1/edits", json=payload)["param"] == param


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (
            {"seeds": [1, 2], "parameters": {"renoise": 0}},
            "with a renoise of 0 all seeds give the same image: raise parameters.renoise, leave it out",
        ),
        ({"n": 2, "method": "ddim"}, "this method draws no noise, so all seeds give the same image: give one seed"),
    ],
)
def test_seeds_that_would_give_one_image_are_refused_with_advice(
    api: TestClient, refused: Refuse, prior: str, upload: Upload, change: dict[str, Any], advice: str
) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG} | change
    assert advice in refused(422, "invalid_request", api.post, "/v1/edits", json=payload)["detail"]
    accepted = payload | {"method": "nima", "parameters": {"renoise": 0.2}}
    assert api.post("/v1/edits", json=accepted).status_code == 202


def test_settings_contradict_each_other_on_the_base_model_that_workers_serve(
    api: TestClient, refused: Refuse, prior: str, upload: Upload, begin: UnitOfWork
) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG, "method": "masactrl"}
    recipes = {"large": {"steps": 60}, "small": {"steps": 20}}
    late = payload | {"parameters": {"start_step": 55}}
    problem = refused(422, "invalid_request", api.post, "/v1/edits", json=late)
    assert problem["detail"] == "start_step must be at most steps, 50, got 55"
    for name, recipe in recipes.items():
        with begin() as session:
            workers.report(session, name, ["edit"], {"name": name, "recipe": {"masactrl": recipe}})
    assert api.post("/v1/edits", json=late).status_code == 202
    with begin() as session:
        workers.leave(session, "large")
    problem = refused(422, "invalid_request", api.post, "/v1/edits", json=late)
    assert problem["detail"] == "start_step must be at most steps, 20, got 55"
    halved = payload | {"preset": "fast", "parameters": {"start_step": 20, "steps": 20}}
    assert api.post("/v1/edits", json=halved).status_code == 202


def test_the_job_keeps_the_choices_of_the_request(api: TestClient, prior: str, upload: Upload) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG, "seed": 1}
    plain = api.post("/v1/edits", json=payload | {"preset": "balanced"}).json()
    assert plain["parameters"] == {"nima": {}, "seeds": [1]}
    choices = {"preset": "best", "identity": "high", "change": "large"}
    chosen = api.post("/v1/edits", json=payload | choices | {"n": 2}).json()
    assert chosen["parameters"] == {"nima": {}, "choices": choices | {"seeds": "several"}, "seeds": [1, 2]}


def test_another_method_on_the_base_model_alone_needs_no_prior(
    api: TestClient, subject: dict[str, Any], upload: Upload
) -> None:
    payload = {"subject_id": subject["id"], "image_id": upload("white"), "prompt": DOG, "use_prior": False, "seed": 1}
    answer = api.post("/v1/edits", json=payload | {"method": "sdedit", "parameters": {"strength": 0.5}})
    assert answer.status_code == 202, answer.json()
    assert answer.json()["parameters"] == {"sdedit": {"strength": 0.5}, "seeds": [1]}
    assert answer.json()["prior_id"] is None


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"include": ["uncomposited"]}, {"include": ["uncomposited"]}),
        ({"include": []}, {}),
        ({"output_format": "png"}, {}),
        ({"output_format": "jpeg"}, {"output_format": "jpeg"}),
        ({"output_format": "webp", "output_quality": 80}, {"output_format": "webp", "output_quality": 80}),
    ],
)
def test_the_output_is_stored_with_the_job(
    api: TestClient, prior: str, upload: Upload, given: dict[str, Any], stored: dict[str, Any]
) -> None:
    answer = api.post("/v1/edits", json={"prior_id": prior, "image_id": upload("white"), "prompt": DOG, **given})
    assert answer.status_code == 202, answer.json()
    parameters = answer.json()["parameters"]
    assert {name: value for name, value in parameters.items() if name.startswith(("output", "include"))} == stored


def test_a_prior_that_is_not_ready(api: TestClient, refused: Refuse, subject: dict[str, Any], upload: Upload) -> None:
    image = upload("white")
    payload = {"subject_id": subject["id"], "image_id": image, "prompt": DOG}
    refused(409, "prior_not_ready", api.post, "/v1/edits", json=payload)
    job = api.post(f"/v1/subjects/{subject['id']}/priors").json()
    refused(409, "prior_not_ready", api.post, "/v1/edits", json=payload)
    payload = {"prior_id": job["prior_id"], "image_id": image, "prompt": DOG}
    refused(409, "prior_not_ready", api.post, "/v1/edits", json=payload)


def test_a_mask_of_another_size(api: TestClient, refused: Refuse, prior: str, upload: Upload) -> None:
    payload = {
        "prior_id": prior,
        "image_id": upload("white"),
        "mask_image_id": upload("black", (96, 97)),
        "prompt": DOG,
    }
    refused(422, "mask_size_mismatch", api.post, "/v1/edits", json=payload)


def test_a_dry_run_prices_an_edit_and_creates_nothing(
    api: TestClient, refused: Refuse, prior: str, upload: Upload, begin: UnitOfWork
) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG, "seed": 1, "preset": "fast"}
    before = api.get("/v1/jobs").json()
    answer = api.post("/v1/edits/dry-run", json=payload)
    body = answer.json()
    assert (answer.status_code, body["seconds"], body["based_on_jobs"], body["images"], body["position"]) == (
        200, None, 0, 1, 1,
    )  # fmt: skip
    assert "no finished job with nima" in body["reason"]
    assert (body["resolved"]["nima"]["steps"], body["resolved"]["choices"]) == (10, {"preset": "fast"})
    assert api.get("/v1/jobs").json() == before
    done = api.post("/v1/edits", json=payload).json()["id"]
    nima = {"steps": 20, "reconstruction_steps": 0}
    with begin() as session:
        job = session.get_one(Job, done)
        job.state, job.resolved = "succeeded", {"nima": nima, "target_prompts": [DOG], "seeds": [1]}
        job.metrics = {"seconds_queued": 99, "seconds_inverting": 4.0, "seconds_editing": 6.0}
    twice = payload | {"n": 2, "parameters": {"steps": 20, "reconstruction_steps": 0}}
    body = api.post("/v1/edits/dry-run", json=twice).json()
    assert (body["seconds"], body["based_on_jobs"], body["images"], body["reason"]) == (20.0, 1, 2, None)
    for change, status, code in (
        ({"prompt": "a dog"}, 422, "prompt_without_subject"),
        ({"preset": "better"}, 422, "invalid_request"),
        ({"webhook_url": "ftp://example.org"}, 422, "webhook_url_forbidden"),
    ):
        refused(status, code, api.post, "/v1/edits/dry-run", json=payload | change)


def test_a_dry_run_prices_a_training(api: TestClient, refused: Refuse, subject: dict[str, Any]) -> None:
    path = f"/v1/subjects/{subject['id']}/priors"
    body = api.post(f"{path}/dry-run", json={"preset": "best"}).raise_for_status().json()
    assert (body["resolved"]["prior"]["steps"], body["images"], body["position"]) == (1000, 0, 1)
    assert api.get(path).json()["data"] == []
    refused(404, "not_found", api.post, "/v1/subjects/sub_unknown/priors/dry-run")


def test_the_results_of_a_running_edit_appear_one_by_one(
    api: TestClient, prior: str, upload: Upload, begin: UnitOfWork, storage: Storage
) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG, "seeds": [7, 8]}
    job = api.post("/v1/edits", json=payload).raise_for_status().json()

    def results() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.get(f"/v1/edits/{job['edit_id']}").raise_for_status().json()["results"]
        return found

    with begin() as session:
        claim = attempts.claim(session, job["id"], "worker-1", lease_seconds=60)
    assert claim
    assert results() == []
    prefix = attempt_prefix(claim.project_id, claim.job_id, claim.epoch)
    made: dict[int, list[NewArtefact]] = {}
    for number, seed in enumerate((7, 8), start=1):
        stored = storage.put(prefix, f"image-{number}.png", b"an image", "image/png")
        details = {"target_prompt": DOG, "seed": seed}
        made[number] = [NewArtefact("image", f"image-{number}.png", "image/png", stored, details)]
        with begin() as session:
            assert attempts.keep(session, claim, PartialResults({}, dict(made)), storage)
        assert [result["seed"] for result in results()] == [7, 8][:number]
        assert all("Signature" in result["image"]["url"] for result in results())
    with begin() as session:
        attempts.finish_failed(session, claim, "gpu_out_of_memory", "too large", {})
    assert results() == []
