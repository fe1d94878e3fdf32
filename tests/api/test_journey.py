"""The whole journey by REST: images, subject, prior, edit, results."""

from collections.abc import Callable
from typing import Any

import httpx
from fastapi.testclient import TestClient


def test_from_references_to_results(
    api: TestClient, subject: dict[str, Any], upload: Callable[..., str], work: Callable[..., None]
) -> None:
    answer = api.post(
        f"/v1/subjects/{subject['id']}/priors",
        json={"parameters": {"steps": 10, "rank": 4}, "regularization": {"count": 8}, "metadata": {"order": "7"}},
        headers={"X-Request-Id": "my-request"},
    )
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == job["urls"]["self"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["x-request-id"] == job["request_id"] == "my-request"
    parameters = {"prior": {"steps": 10, "rank": 4}, "regularization": {"count": 8}, "previews": 4, "snapshots": None}
    assert job["parameters"] == parameters
    assert (job["status"], job["kind"], job["metadata"]) == ("queued", "prior", {"order": "7"})
    work(job["id"])

    job = api.get(job["urls"]["self"]).json()
    assert (job["status"], job["metrics"]) == ("succeeded", {"training": 2.5})
    prior = api.get(job["urls"]["result"]).json()
    assert prior["manifest"] == {"base": "test"}
    assert [artefact["role"] for artefact in prior["artefacts"]] == ["adapter", "manifest"]
    assert [body["id"] for body in api.get(f"/v1/subjects/{subject['id']}/priors").json()["data"]] == [prior["id"]]

    payload = {
        "subject_id": subject["id"],
        "image_id": upload("white"),
        "prompts": ["sks dog jumping", "a SKS dog sleeping"],
        "seeds": [3, 4],
        "parameters": {"steps": 5, "renoise": 0.5, "mask_mode": "source"},
    }
    answer = api.post("/v1/edits", json=payload)
    assert answer.status_code == 202, answer.json()
    job = answer.json()
    assert job["parameters"] == {"nima": payload["parameters"], "seeds": [3, 4], "choices": {"seeds": "several"}}
    assert job["prior_id"] == prior["id"]
    rows = [(prompt, seed) for prompt in payload["prompts"] for seed in (3, 4)]
    roles = ("image", "source_mask", "edit_mask", "uncomposited")
    work(job["id"], [(role, {"target_prompt": prompt, "seed": seed}) for prompt, seed in rows for role in roles])

    edit = api.get(job["urls"]["result"]).json()
    assert [(result["prompt"], result["seed"]) for result in edit["results"]] == rows
    assert edit["status"] == "succeeded"
    assert all(result[role]["role"] == role for result in edit["results"] for role in roles)
    assert [body["id"] for body in api.get("/v1/edits").json()["data"]] == [edit["id"]]
    assert httpx.get(edit["results"][0]["edit_mask"]["url"]).content == b"edit_mask"
