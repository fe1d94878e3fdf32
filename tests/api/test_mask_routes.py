"""Masks asked for before an edit: the request, its result, and what erases it."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ledger import artefacts, attempts
from ledger.artefacts import NewArtefact
from ledger.database import UnitOfWork
from ledger.models import Job
from ledger.storage import Storage, attempt_prefix
from lipe_client import Mask
from tests.support.api_fixtures import Refuse
from tests.support.uploads import png

PERSON = {"class_noun": "woman", "consent": {"person": "Ada", "purpose": "her book"}}


def find(api: TestClient, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = api.post("/v1/masks", json=fields).raise_for_status().json()
    return body


def finish(begin: UnitOfWork, storage: Storage, job: dict[str, Any]) -> NewArtefact:
    """End the job as a worker does, with a mask of its own."""
    with begin() as session:
        claim = attempts.claim(session, job["id"], "w", lease_seconds=60)
    assert claim is not None
    stored = storage.put(attempt_prefix(claim.project_id, job["id"], 1), "mask.png", png("white"), "image/png")
    made = NewArtefact("source_mask", "mask.png", "image/png", stored)
    with begin() as session:
        facts = {"share": 0.25, "cut_off": ["left"]}
        assert attempts.finish(session, claim, [made], resolved=facts, metrics={}, storage=storage)
    return made


def test_a_mask_is_readable_when_the_job_has_succeeded(
    api: TestClient, subject: dict[str, Any], upload: Callable[..., str], begin: UnitOfWork, storage: Storage
) -> None:
    image = upload("white")
    job = find(api, subject_id=subject["id"], image_id=image, metadata={"page": "1"})
    assert (job["kind"], job["urls"]["result"]) == ("mask", f"/v1/masks/{job['id']}")
    assert (job["parameters"], job["metadata"]) == ({"image_id": image}, {"page": "1"})
    waiting = Mask(**api.get(job["urls"]["result"]).raise_for_status().json())
    assert (waiting.status, waiting.mask, waiting.share, waiting.cut_off) == ("queued", None, None, ())
    assert api.get(job["urls"]["self"]).json()["waiting"]["reason"] == "no_worker_serves_it"
    made = finish(begin, storage, job)
    found = Mask(**api.get(job["urls"]["result"]).raise_for_status().json())
    assert (found.image_id, found.share, found.cut_off) == (image, 0.25, ("left",))
    assert found.mask is not None
    assert (found.mask.role, found.mask.sha256) == ("source_mask", made.stored.sha256)
    assert [row["id"] for row in api.get("/v1/jobs", params={"kind": "mask"}).json()["data"]] == [job["id"]]


def test_a_found_mask_is_given_to_an_edit_as_a_drawn_one_is(
    api: TestClient, prior: str, upload: Callable[..., str], begin: UnitOfWork, storage: Storage
) -> None:
    image = upload("white")
    job = find(api, prior_id=prior, image_id=image)
    made = finish(begin, storage, job)
    content = storage.get(made.stored.key, made.stored.sha256)
    mask = api.post("/v1/images", content=content).raise_for_status().json()["id"]
    body = {"prior_id": prior, "image_id": image, "mask_image_id": mask, "prompt": "a photo of sks dog asleep"}
    assert api.post("/v1/edits", json=body).status_code == 202


def test_a_mask_needs_a_worker_with_the_base_model_of_the_prior(
    api: TestClient, subject: dict[str, Any], prior: str, upload: Callable[..., str], begin: UnitOfWork
) -> None:
    with begin() as session:
        edited = api.post("/v1/edits", json={"prior_id": prior, "image_id": upload("red"), "prompt": "sks dog"}).json()
        wanted = session.get_one(Job, edited["id"]).base_model
    for named in ({"prior_id": prior}, {"subject_id": subject["id"]}):
        job = find(api, image_id=upload("white"), **named)
        with begin() as session:
            assert session.get_one(Job, job["id"]).base_model == wanted


def test_a_job_of_a_mask_is_canceled_and_retried_once(
    api: TestClient, subject: dict[str, Any], upload: Callable[..., str], begin: UnitOfWork
) -> None:
    job = find(api, subject_id=subject["id"], image_id=upload("white"))
    assert api.post(job["urls"]["cancel"]).json()["status"] == "canceled"
    again = api.post(job["urls"]["retry"]).raise_for_status().json()
    assert (again["kind"], again["parameters"]) == ("mask", job["parameters"])
    with begin() as session:
        assert session.get_one(Job, again["id"]).image_id == job["parameters"]["image_id"]
    refused = api.post(job["urls"]["retry"])
    assert (refused.status_code, again["id"] in refused.json()["detail"]) == (409, True)


@pytest.mark.parametrize("erased", ["image", "subject"])
def test_an_erased_image_or_subject_takes_its_masks_along(
    api: TestClient,
    subject: dict[str, Any],
    upload: Callable[..., str],
    begin: UnitOfWork,
    storage: Storage,
    erased: str,
) -> None:
    image, other = upload("white"), upload("black")
    job, kept = (find(api, subject_id=subject["id"], image_id=one) for one in (image, other))
    made = finish(begin, storage, job)
    path = f"/v1/images/{image}" if erased == "image" else f"/v1/subjects/{subject['id']}"
    api.delete(path).raise_for_status()
    assert api.get(job["urls"]["result"]).status_code == 404
    assert not storage.verify(made.stored)
    with begin() as session:
        assert session.get(Job, job["id"]) is None
        assert artefacts.of_job(session, kept["id"], job["id"]) == []
        assert (session.get(Job, kept["id"]) is None) == (erased == "subject")


def test_a_subject_whose_consent_has_ended_is_not_looked_for(
    api: TestClient, refused: Refuse, upload: Callable[..., str]
) -> None:
    references = [upload(color) for color in ("red", "green", "blue")]
    person = (
        api.post("/v1/subjects", json={"name": "Ada", "references": references, **PERSON}).raise_for_status().json()
    )
    image, path = upload("white"), f"/v1/subjects/{person['id']}/consent"
    job = find(api, subject_id=person["id"], image_id=image)
    api.delete(path).raise_for_status()
    body = {"subject_id": person["id"], "image_id": image}
    assert refused(409, "consent_ended", api.post, "/v1/masks", json=body)["param"] == "subject_id"
    assert api.get(job["urls"]["self"]).json()["status"] == "canceled"


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        ({"subject_id": "sub_" + "0" * 32}, 404, "subject_id", "no subject"),
        ({"subject_id": None, "prior_id": "pri_" + "0" * 32}, 404, "prior_id", "no prior"),
        ({"image_id": "img_" + "0" * 32}, 404, "image_id", "no image"),
        ({"image_id": "img_\u0000"}, 422, "image_id", "pattern"),
        ({"subject_id": None}, 422, None, "either subject_id or prior_id"),
        ({"prior_id": "pri_1"}, 422, None, "either subject_id or prior_id"),
        ({"prompt": "a dog"}, 422, "prompt", "unknown field"),
        ({"webhook_events": ["edit.succeeded"], "webhook_url": "https://example.com"}, 422, "webhook_events", "mask."),
        ({"webhook_events": ["mask.started"]}, 422, "webhook_events", "webhook_url"),
    ],
)
def test_a_wrong_request_is_refused(
    api: TestClient,
    subject: dict[str, Any],
    upload: Callable[..., str],
    body: dict[str, Any],
    status: int,
    param: str | None,
    words: str,
) -> None:
    response = api.post("/v1/masks", json={"subject_id": subject["id"], "image_id": upload("white")} | body)
    problem = response.json()
    errors = problem.get("errors") or [problem]
    assert response.status_code == status
    named = [error for error in errors if words in error["detail"]]
    assert any(param is None or str(error["param"]).startswith(param) for error in named), problem


def test_nothing_of_another_project_is_found(
    api: TestClient, stranger: TestClient, refused: Refuse, subject: dict[str, Any], prior: str,
    upload: Callable[..., str],
) -> None:  # fmt: skip
    image, own = upload("white"), stranger.post("/v1/images", content=png()).json()["id"]
    for body, param in (
        ({"subject_id": subject["id"], "image_id": own}, "subject_id"),
        ({"prior_id": prior, "image_id": own}, "prior_id"),
    ):
        assert refused(404, "not_found", stranger.post, "/v1/masks", json=body)["param"] == param
    job = find(api, subject_id=subject["id"], image_id=image)
    refused(404, "not_found", stranger.get, job["urls"]["result"])
    theirs = api.post("/v1/masks", json={"subject_id": subject["id"], "image_id": own})
    assert (theirs.status_code, theirs.json()["param"]) == (404, "image_id")


def test_a_job_of_another_kind_has_no_mask(api: TestClient, subject: dict[str, Any]) -> None:
    job = api.post("/v1/captions", json={"subject_id": subject["id"]}).raise_for_status().json()
    assert api.get(f"/v1/masks/{job['id']}").status_code == 404
