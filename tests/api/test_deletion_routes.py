"""Deletions: nothing of an image, an edit or a prior remains, and other resources stay whole."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ledger import attempts
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.storage import Storage, attempt_prefix
from tests.support.api_fixtures import Refuse
from tests.support.uploads import png

Upload = Callable[..., str]
Work = Callable[..., None]
DOG = "a photo of sks dog jumping"
IMAGE = [("image", {"target_prompt": DOG, "seed": 7})]

pytestmark = pytest.mark.usefixtures("audited")


def edit(api: TestClient, prior: str, image: str, **fields: Any) -> dict[str, Any]:
    """A queued edit job of one seed."""
    body = {"prior_id": prior, "image_id": image, "prompt": DOG, "seed": 7} | fields
    job: dict[str, Any] = api.post("/v1/edits", json=body).raise_for_status().json()
    return job


def files_of(storage: Storage, project: Project, job_id: str) -> list[str]:
    """The keys of the job's objects."""
    return list(storage.keys(f"projects/{project.id}/jobs/{job_id}/"))


def test_a_deleted_edit_leaves_nothing(
    api: TestClient, prior: str, upload: Upload, work: Work, storage: Storage, project: Project
) -> None:
    image, mask = upload("white"), upload("black")
    key = {"Idempotency-Key": "order-7"}
    body = {"prior_id": prior, "image_id": image, "mask_image_id": mask, "prompt": DOG, "seed": 7}
    job = api.post("/v1/edits", json=body, headers=key).json()
    work(job["id"], IMAGE)
    assert files_of(storage, project, job["id"])
    path = f"/v1/edits/{job['edit_id']}"
    assert api.delete(path).status_code == 204
    assert files_of(storage, project, job["id"]) == []
    for gone in (path, f"/v1/jobs/{job['id']}"):
        assert api.get(gone).status_code == 404
    assert api.delete(path).status_code == 404
    for kept in (f"/v1/images/{image}", f"/v1/images/{mask}", f"/v1/priors/{prior}"):
        assert api.get(kept).status_code == 200
    again = api.post("/v1/edits", json=body, headers=key).json()  # the stored answer named a job that is gone
    assert again["id"] != job["id"]


def test_a_queued_edit_never_starts_and_a_running_one_stops(
    api: TestClient, prior: str, upload: Upload, begin: UnitOfWork, storage: Storage, project: Project
) -> None:
    image = upload("white")
    queued, running = edit(api, prior, image), edit(api, prior, image)
    with begin() as session:
        claim = attempts.claim(session, running["id"], "worker-1", lease_seconds=60)
    assert claim
    storage.put(attempt_prefix(project.id, running["id"], claim.epoch), "image", b"image", "image/png")
    for job in (queued, running):
        assert api.delete(f"/v1/edits/{job['edit_id']}").status_code == 204
    with begin() as session:
        assert attempts.claim(session, queued["id"], "worker-1", lease_seconds=60) is None
        progress = attempts.Progress("editing", 1, 9)
        assert attempts.renew(session, claim, progress, lease_seconds=60) is attempts.Control.LOST
    assert files_of(storage, project, running["id"]) == []
    assert api.get("/v1/webhook-deliveries").json()["data"] == []


def test_an_edit_outlives_its_prior_and_says_so(
    api: TestClient, refused: Refuse, subject: dict[str, Any], prior: str, upload: Upload, work: Work,
    storage: Storage, project: Project,
) -> None:  # fmt: skip
    done, failed = edit(api, prior, upload("white")), edit(api, prior, upload("white"))
    work(done["id"], IMAGE)
    api.post(f"/v1/jobs/{failed['id']}/cancel").raise_for_status()
    before = api.get(f"/v1/edits/{done['edit_id']}").json()
    assert (before["prior_id"], before["prior_deleted_at"]) == (prior, None)
    training = api.get(f"/v1/priors/{prior}").json()["job_id"]
    assert api.delete(f"/v1/priors/{prior}").status_code == 204
    after = api.get(f"/v1/edits/{done['edit_id']}").json()
    assert (after["prior_id"], after["status"], len(after["results"])) == (None, "succeeded", 1)
    assert after["prior_deleted_at"] is not None
    assert api.get(f"/v1/jobs/{done['id']}").json()["prior_id"] is None
    assert api.get(f"/v1/jobs/{training}").status_code == 404
    assert files_of(storage, project, training) == []
    # Without its prior, a retry would make another edit than the one that was requested.
    body = refused(409, "job_not_retryable", api.post, f"/v1/jobs/{failed['id']}/retry")
    assert "its edit was deleted" in body["detail"]
    alone = {"subject_id": subject["id"], "image_id": upload("white"), "prompt": DOG}
    refused(409, "prior_not_ready", api.post, "/v1/edits", json=alone)


def test_a_prior_that_waiting_edits_need_is_not_deleted(
    api: TestClient, refused: Refuse, prior: str, upload: Upload, work: Work
) -> None:
    done, waiting = edit(api, prior, upload("white")), edit(api, prior, upload("white"))
    work(done["id"], IMAGE)
    body = refused(409, "prior_in_use", api.delete, f"/v1/priors/{prior}")
    assert body["used_by"] == {"subjects": [], "edits": [waiting["edit_id"]], "studies": []}
    assert api.delete(f"/v1/edits/{waiting['edit_id']}").status_code == 204
    assert api.delete(f"/v1/priors/{prior}").status_code == 204


def test_the_newest_remaining_prior_is_the_default(
    api: TestClient, subject: dict[str, Any], prior: str, upload: Upload, work: Work
) -> None:
    newer = api.post(f"/v1/subjects/{subject['id']}/priors").json()
    work(newer["id"])
    running = api.post(f"/v1/subjects/{subject['id']}/priors").json()
    body = {"subject_id": subject["id"], "image_id": upload("white"), "prompt": DOG}
    first = api.post("/v1/edits", json=body).json()
    assert first["prior_id"] == newer["prior_id"]
    api.post(f"/v1/jobs/{first['id']}/cancel").raise_for_status()
    for gone in (newer, running):  # a training that has not ended is deleted, too
        assert api.delete(f"/v1/priors/{gone['prior_id']}").status_code == 204
        assert api.get(f"/v1/jobs/{gone['id']}").status_code == 404
    assert api.post("/v1/edits", json=body).json()["prior_id"] == prior


def test_the_refusal_lists_what_uses_an_image(
    api: TestClient, refused: Refuse, subject: dict[str, Any], prior: str, upload: Upload
) -> None:
    shared = subject["references"][0]["image_id"]
    as_source, as_mask = edit(api, prior, shared), edit(api, prior, upload("white"), mask_image_id=shared)
    body = refused(409, "image_in_use", api.delete, f"/v1/images/{shared}")
    edits = [as_source["edit_id"], as_mask["edit_id"]]
    assert body["used_by"] == {"subjects": [subject["id"]], "edits": edits, "studies": []}
    assert "?cascade=true" in body["detail"]


def test_a_cascade_deletes_what_uses_the_image(
    api: TestClient, subject: dict[str, Any], prior: str, upload: Upload, work: Work, storage: Storage, project: Project
) -> None:
    shared, other = subject["references"][0]["image_id"], upload("white")
    references = [upload(color) for color in ("teal", "navy", "gold")]
    kit = api.post("/v1/subjects", json={"name": "Kit", "class_noun": "cat", "references": references}).json()
    training = api.post(f"/v1/subjects/{kit['id']}/priors").json()
    work(training["id"])
    foreign = edit(api, training["prior_id"], shared, prompt="a photo of sks cat")
    kept = edit(api, training["prior_id"], other, prompt="a photo of sks cat")
    mine = edit(api, prior, other)
    assert api.delete(f"/v1/images/{shared}?cascade=true").status_code == 204
    for gone in (f"images/{shared}", f"subjects/{subject['id']}", f"priors/{prior}", f"edits/{foreign['edit_id']}"):
        assert api.get(f"/v1/{gone}").status_code == 404
    assert api.get(f"/v1/edits/{mine['edit_id']}").status_code == 404
    assert [row["id"] for row in api.get("/v1/edits").json()["data"]] == [kept["edit_id"]]
    assert [row["id"] for row in api.get("/v1/subjects").json()["data"]] == [kit["id"]]
    images = {row["id"] for row in api.get("/v1/images").json()["data"]}
    assert images == {other, *references}
    assert {key.split("/")[3] for key in storage.keys(f"projects/{project.id}/")} == {*images, training["id"]}


def test_answers_about_erased_images_are_forgotten(api: TestClient) -> None:
    key = {"Idempotency-Key": "photo-1"}
    first = api.post("/v1/images", content=png("white"), headers=key).json()["id"]
    assert api.delete(f"/v1/images/{first}").status_code == 204
    second = api.post("/v1/images", content=png("white"), headers=key).json()["id"]
    assert second != first
    assert api.get(f"/v1/images/{second}").status_code == 200
