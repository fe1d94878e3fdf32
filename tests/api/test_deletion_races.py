"""A deletion and a request that uses the same resource: two real transactions, in both orders, leave nothing dangling.

One transaction stays open in the test. The request runs in a thread and blocks in the database, until the test commits.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ledger import attempts, edits, erasures, images, jobs, retries, subjects
from ledger.artefacts import NewArtefact
from ledger.database import UnitOfWork
from ledger.models import Image, Job, Project, Subject
from ledger.storage import Storage, attempt_prefix
from tests.support.races import answer_after, is_blocked
from tests.support.waiting import eventually

Upload = Callable[..., str]
DOG = "a photo of sks dog jumping"


def add_edit(project: Project, prior_id: str, subject_id: str, image_id: str) -> Callable[[Session], Job]:
    """A transaction that requests an edit."""

    def add(session: Session) -> Job:
        row = edits.draft(project.id, subject_id=subject_id, prior_id=prior_id, image_id=image_id, target_prompts=[DOG])
        return jobs.submit(
            session, project.id, "edit", subject_id=subject_id, prior_id=prior_id, edit_id=row.id, related=[row],
            parameters={"seeds": [7]},
        )  # fmt: skip

    return add


def test_an_image_is_deleted_while_an_edit_of_it_is_requested(
    begin: UnitOfWork, api: TestClient, subject: dict[str, Any], prior: str, upload: Upload, project: Project
) -> None:
    image = upload("white")
    body = {"subject_id": subject["id"], "image_id": image, "prompt": DOG}
    answer = answer_after(
        begin, lambda s: erasures.erase_image(s, project.id, image), lambda: api.post("/v1/edits", json=body)
    )
    assert (answer.status_code, answer.json()["param"]) == (404, "image_id")
    assert api.get("/v1/edits").json()["data"] == []


def test_an_image_is_deleted_while_its_mask_is_requested(
    begin: UnitOfWork, api: TestClient, subject: dict[str, Any], upload: Upload, project: Project
) -> None:
    image = upload("white")
    body = {"subject_id": subject["id"], "image_id": image}
    answer = answer_after(
        begin, lambda s: erasures.erase_image(s, project.id, image), lambda: api.post("/v1/masks", json=body)
    )
    assert (answer.status_code, answer.json()["param"]) == (404, "image_id")
    assert api.get("/v1/jobs").json()["data"] == []


@pytest.mark.parametrize("again", [False, True])
def test_a_mask_is_requested_while_its_image_is_deleted(
    begin: UnitOfWork, api: TestClient, subject: dict[str, Any], upload: Upload, project: Project, again: bool
) -> None:
    image = upload("white")
    first = api.post("/v1/masks", json={"subject_id": subject["id"], "image_id": image}).json()
    api.post(first["urls"]["cancel"]).raise_for_status()

    def add(session: Session) -> None:
        if again:
            retries.retry(session, project.id, first["id"])
        else:
            parameters = {"image_id": image}
            jobs.submit(session, project.id, "mask", subject_id=subject["id"], image_id=image, parameters=parameters)

    answer = answer_after(begin, add, lambda: api.delete(f"/v1/images/{image}"))
    assert answer.status_code == 204
    with begin() as session:
        assert session.scalars(select(Job)).all() == []


@pytest.mark.parametrize("cascade", [False, True])
def test_an_edit_is_requested_while_its_image_is_deleted(
    begin: UnitOfWork, api: TestClient, subject: dict[str, Any], prior: str, upload: Upload, project: Project,
    cascade: bool,
) -> None:  # fmt: skip
    image = upload("white")
    answer = answer_after(
        begin,
        add_edit(project, prior, subject["id"], image),
        lambda: api.delete(f"/v1/images/{image}", params={"cascade": cascade}),
    )
    rows = api.get("/v1/edits").json()["data"]
    if cascade:
        assert (answer.status_code, rows) == (204, [])
    else:
        assert (answer.status_code, answer.json()["used_by"]["edits"]) == (409, [row["id"] for row in rows])


def test_a_prior_is_deleted_while_an_edit_with_it_is_requested(
    begin: UnitOfWork, api: TestClient, prior: str, upload: Upload, project: Project
) -> None:
    body = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG}
    answer = answer_after(
        begin, lambda s: erasures.erase_prior(s, project.id, prior), lambda: api.post("/v1/edits", json=body)
    )
    assert (answer.status_code, answer.json()["param"]) == (404, "prior_id")


def test_an_edit_is_requested_while_its_prior_is_deleted(
    begin: UnitOfWork, api: TestClient, subject: dict[str, Any], prior: str, upload: Upload, project: Project
) -> None:
    add = add_edit(project, prior, subject["id"], upload("white"))
    answer = answer_after(begin, add, lambda: api.delete(f"/v1/priors/{prior}"))
    assert (answer.status_code, answer.json()["code"]) == (409, "prior_in_use")


def test_an_image_is_deleted_while_it_becomes_a_reference(
    begin: UnitOfWork, api: TestClient, subject: dict[str, Any], upload: Upload, project: Project
) -> None:
    image, path = upload("white"), f"/v1/subjects/{subject['id']}/references"
    answer = answer_after(
        begin, lambda s: erasures.erase_image(s, project.id, image), lambda: api.post(path, json={"image_id": image})
    )
    assert (answer.status_code, answer.json()["param"]) == (404, "image_id")


def test_two_changes_of_a_subject_keep_both(
    begin: UnitOfWork, api: TestClient, subject: dict[str, Any], upload: Upload, project: Project
) -> None:
    image = upload("white")

    def change(session: Session) -> None:
        row = subjects.lock(session, project.id, subject["id"])
        assert row
        subjects.change(row, metadata={"first": "1"})
        subjects.add_reference(session, row, images.get_many(session, project.id, [image])[0], None)

    patch = {"metadata": {"second": "2"}, "captions": {image: "sks dog"}}
    answer = answer_after(begin, change, lambda: api.patch(f"/v1/subjects/{subject['id']}", json=patch))
    assert answer.json()["metadata"] == {"first": "1", "second": "2"}
    assert answer.json()["references"][-1] == {"image_id": image, "caption": "sks dog"}


def test_a_prior_is_deleted_while_its_training_succeeds(
    begin: UnitOfWork, storage: Storage, api: TestClient, subject: dict[str, Any], project: Project
) -> None:
    job = api.post(f"/v1/subjects/{subject['id']}/priors").json()
    with begin() as session:
        claim = attempts.claim(session, job["id"], "worker-1", lease_seconds=60)
    assert claim
    stored = storage.put(attempt_prefix(project.id, job["id"], claim.epoch), "adapter", b"adapter", "image/png")
    adapter = NewArtefact("adapter", "adapter", "image/png", stored)

    def succeed(session: Session) -> None:
        assert attempts.finish(session, claim, [adapter], resolved={}, metrics={}, manifest={})

    assert answer_after(begin, succeed, lambda: api.delete(f"/v1/priors/{job['prior_id']}")).status_code == 204
    assert api.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert list(storage.keys(stored.key)) == []


def test_an_edit_is_deleted_while_it_is_retried(
    begin: UnitOfWork, api: TestClient, subject: dict[str, Any], prior: str, upload: Upload, project: Project
) -> None:
    body = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG}
    job = api.post("/v1/edits", json=body).json()
    api.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()

    def retry(session: Session) -> None:
        assert retries.retry(session, project.id, job["id"])

    assert answer_after(begin, retry, lambda: api.delete(f"/v1/edits/{job['edit_id']}")).status_code == 204
    assert api.get("/v1/jobs", params={"kind": "edit"}).json()["data"] == []


def test_two_transactions_that_block_each_other_are_repeated(
    begin: UnitOfWork, api: TestClient, subject: dict[str, Any], project: Project
) -> None:
    """The request locks the subject and then its image. The test has locked the image and then wants the subject."""
    image = subject["references"][0]["image_id"]
    wanted = select(Subject.id).where(Subject.id == subject["id"]).with_for_update(key_share=True, read=True)
    with ThreadPoolExecutor(1) as pool:
        with begin() as session:
            session.execute(text("SET LOCAL deadlock_timeout = '1min'"))  # the request is the one that gives up
            session.execute(select(Image.id).where(Image.id == image).with_for_update(key_share=True, read=True))
            answer = pool.submit(lambda: api.delete(f"/v1/subjects/{subject['id']}"))
            eventually(lambda: is_blocked(begin))
            assert session.scalar(wanted) == subject["id"]
        assert answer.result().status_code == 204
    assert api.get("/v1/images").json()["data"] == []
