"""Captions asked for before a training, and edits by an action."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ledger import attempts
from ledger.database import UnitOfWork
from ledger.models import Job
from lipe_client import Captions

CAPTION = {
    "image_id": "img_1", "caption": "a sks dog", "target_prompt": None,
    "phrases": [{"text": "asleep", "score": -4.0, "is_doubtful": True}],
}  # fmt: skip


def test_captions_of_the_references_are_readable_when_the_job_has_succeeded(
    api: TestClient, subject: dict[str, Any], begin: UnitOfWork
) -> None:
    response = api.post("/v1/captions", json={"subject_id": subject["id"]})
    job = response.raise_for_status().json()
    assert (response.status_code, job["kind"], job["urls"]["result"]) == (202, "captions", f"/v1/captions/{job['id']}")
    references = [reference["image_id"] for reference in subject["references"]]
    assert job["parameters"] == {"image_ids": references}
    waiting = Captions(**api.get(job["urls"]["result"]).raise_for_status().json())
    assert (waiting.status, waiting.captions) == ("queued", ())
    with begin() as session:
        claim = attempts.claim(session, job["id"], "w", lease_seconds=60)
        assert claim is not None
        assert claim.kind == "captions"
        assert attempts.finish(session, claim, [], resolved={"captioner": "llava", "captions": [CAPTION]}, metrics={})
    written = Captions(**api.get(job["urls"]["result"]).raise_for_status().json())
    assert (written.status, written.captioner) == ("succeeded", "llava")
    assert written.captions[0].phrases[0].is_doubtful
    stream = api.get(job["urls"]["events"]).text
    assert "event: captions.succeeded" in stream or '"captions.succeeded"' in stream
    assert [row["id"] for row in api.get("/v1/jobs", params={"kind": "captions"}).json()["data"]] == [job["id"]]


def test_a_job_of_captions_is_canceled_and_retried_once(api: TestClient, subject: dict[str, Any]) -> None:
    job = api.post("/v1/captions", json={"subject_id": subject["id"], "action": "asleep"}).raise_for_status().json()
    assert api.get(job["urls"]["self"]).json()["waiting"]["reason"] == "no_worker_serves_it"
    assert api.post(job["urls"]["cancel"]).json()["status"] == "canceled"
    again = api.post(job["urls"]["retry"]).raise_for_status().json()
    assert (again["kind"], again["parameters"]) == ("captions", job["parameters"])
    refused = api.post(job["urls"]["retry"])
    assert (refused.status_code, again["id"] in refused.json()["detail"]) == (409, True)


def test_an_erased_subject_takes_its_captions_along(
    api: TestClient, subject: dict[str, Any], begin: UnitOfWork
) -> None:
    job = api.post("/v1/captions", json={"subject_id": subject["id"]}).raise_for_status().json()
    api.delete(f"/v1/subjects/{subject['id']}").raise_for_status()
    assert api.get(job["urls"]["result"]).status_code == 404
    with begin() as session:
        assert session.get(Job, job["id"]) is None


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"subject_id": "sub_" + "0" * 32}, "subject_id", "no subject"),
        ({"image_ids": ["img_" + "0" * 32]}, "image_ids[0]", "no image"),
        ({"image_ids": []}, "image_ids", "at least 1"),
        ({"action": " "}, "action", "say what the subject does"),
        ({"webhook_events": ["edit.succeeded"], "webhook_url": "https://example.com"}, "webhook_events", "captions."),
    ],
)
def test_a_wrong_request_is_refused(
    api: TestClient, subject: dict[str, Any], body: dict[str, Any], param: str, words: str
) -> None:
    response = api.post("/v1/captions", json={"subject_id": subject["id"], **body})
    problem = response.json()
    errors = problem.get("errors") or [problem]
    assert response.status_code in (404, 422)
    assert any(str(error["param"]).startswith(param) and words in error["detail"] for error in errors), problem


def test_a_job_of_another_kind_has_no_captions(api: TestClient, subject: dict[str, Any]) -> None:
    job = api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status().json()
    assert api.get(f"/v1/captions/{job['id']}").status_code == 404


def test_an_edit_by_action_has_a_prompt_at_once_and_only_one_kind_of_text(
    api: TestClient, subject: dict[str, Any], upload: Callable[..., str]
) -> None:
    body = {"subject_id": subject["id"], "image_id": upload("white"), "use_prior": False, "action": "asleep"}
    job = api.post("/v1/edits", json=body).raise_for_status().json()
    assert job["parameters"]["action"] == "asleep"
    edit = api.get(f"/v1/edits/{job['edit_id']}").json()
    assert (edit["action"], edit["target_prompts"]) == ("asleep", ["a photo of sks dog asleep"])
    assert edit["used_source_prompt"] is None
    both = api.post("/v1/edits", json=body | {"prompt": "a photo of sks dog"})
    assert (both.status_code, "give one of prompt, prompts and action" in both.text) == (422, True)
