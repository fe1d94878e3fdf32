"""The mix of an edit: what is refused, and that deletions of the second prior and its subject leave nothing of it."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from ledger import attempts, erasures, retries
from ledger.database import UnitOfWork
from ledger.models import Prior, Project
from ledger.storage import Storage
from tests.support.api_fixtures import Refuse
from tests.support.races import answer_after
from tests.support.uploads import png

Upload = Callable[..., str]
Work = Callable[..., None]
DOG = "a photo of sks dog jumping"
IMAGE = [("image", {"target_prompt": DOG, "seed": 7})]

pytestmark = pytest.mark.usefixtures("audited")


@pytest.fixture
def style(api: TestClient, upload: Upload, work: Work) -> dict[str, Any]:
    """The succeeded training of another subject."""
    references = [upload(color) for color in ("white", "gray", "black")]
    payload = {"name": "Watercolor", "class_noun": "style", "token": "zwx", "references": references}
    subject = api.post("/v1/subjects", json=payload).raise_for_status().json()
    job: dict[str, Any] = api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status().json()
    work(job["id"])
    return job


def edit(api: TestClient, prior: str, image: str, mix: Any, **fields: Any) -> Any:
    return api.post("/v1/edits", json={"prior_id": prior, "image_id": image, "prompt": DOG, "mix": mix} | fields)


def test_an_edit_has_its_mix(api: TestClient, prior: str, upload: Upload, style: dict[str, Any]) -> None:
    image = upload("white")
    job = edit(api, prior, image, {"prior_id": style["prior_id"], "weight": 0.4}).raise_for_status().json()
    default = edit(api, prior, image, {"prior_id": style["prior_id"]}).raise_for_status().json()
    assert (job["prior_id"], api.get(f"/v1/edits/{job['edit_id']}").json()["mix"]) == (
        prior,
        {"prior_id": style["prior_id"], "weight": 0.4},
    )
    listed = api.get("/v1/edits").json()["data"]
    assert [row["mix"]["weight"] for row in listed] == [1.0, 0.4]
    assert listed[0]["id"] == default["edit_id"]
    plain = edit(api, prior, image, None).raise_for_status().json()
    assert api.get(f"/v1/edits/{plain['edit_id']}").json()["mix"] is None


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"mix": {"prior_id": "pri_unknown"}}, 404, "not_found", "mix.prior_id"),
        ({"mix": {"weight": 1}}, 422, "invalid_request", "mix.prior_id"),
        ({"mix": {"prior_id": "STYLE", "weight": 0}}, 422, "invalid_request", "mix.weight"),
        ({"mix": {"prior_id": "STYLE", "weight": 2.01}}, 422, "invalid_request", "mix.weight"),
        ({"mix": {"prior_id": "STYLE", "weight": -1}}, 422, "invalid_request", "mix.weight"),
        ({"mix": {"prior_id": "STYLE", "weigth": 1}}, 422, "invalid_request", "mix.weigth"),
        ({"mix": {"prior_id": "OWN"}}, 422, "priors_not_mixable", "mix.prior_id"),
        ({"prior_id": None, "subject_id": "SUBJECT", "use_prior": False}, 422, "invalid_request", "body"),
        ({"method": "mystyle"}, 422, "invalid_request", "body"),
    ],
)
def test_invalid_mixes(
    api: TestClient, refused: Refuse, subject: dict[str, Any], prior: str, upload: Upload, style: dict[str, Any],
    change: dict[str, Any], status: int, code: str, param: str,
) -> None:  # fmt: skip
    named = {"STYLE": style["prior_id"], "OWN": prior, "SUBJECT": subject["id"]}
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG, "mix": {"prior_id": "STYLE"}} | change
    payload = {field: named.get(value, value) if isinstance(value, str) else value for field, value in payload.items()}
    mix = payload["mix"]
    payload["mix"] = {field: named.get(str(value), value) for field, value in mix.items()}
    assert refused(status, code, api.post, "/v1/edits", json=payload)["param"] == param


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ({"fingerprint": "1"}, {"fingerprint": "2"}, "different base models"),
        ({"config": {"prior": {"tuning": "full_attention"}}}, {"config": {"imported": {}}}, "same `tuning`"),
        ({"token": "sks"}, {"token": "sks", "config": {"prior": {"token_learning_rate": 0.1}}}, "the token 'sks'"),
    ],
)
def test_priors_that_differ_are_refused(
    api: TestClient, refused: Refuse, prior: str, upload: Upload, style: dict[str, Any], begin: UnitOfWork,
    ours: dict[str, Any], theirs: dict[str, Any], words: str,
) -> None:  # fmt: skip
    with begin() as session:
        for prior_id, manifest in ((prior, ours), (style["prior_id"], theirs)):
            session.execute(update(Prior).where(Prior.id == prior_id).values(manifest=manifest))
    mix = {"prior_id": style["prior_id"]}
    body = {"prior_id": prior, "image_id": upload("white"), "prompt": DOG, "mix": mix}
    for path in ("/v1/edits", "/v1/edits/dry-run"):
        assert words in refused(422, "priors_not_mixable", api.post, path, json=body)["detail"]


def test_a_prior_that_is_not_ready_or_of_another_project_is_refused(
    api: TestClient, stranger: TestClient, prior: str, upload: Upload, work: Work, style: dict[str, Any]
) -> None:
    image = upload("white")
    queued = api.post(f"/v1/subjects/{style['subject_id']}/priors").raise_for_status().json()
    problem = edit(api, prior, image, {"prior_id": queued["prior_id"]}).json()
    assert (problem["code"], problem["param"]) == ("prior_not_ready", "mix.prior_id")
    references = [stranger.post("/v1/images", content=png(color)).json()["id"] for color in ("red", "green", "blue")]
    subject = stranger.post("/v1/subjects", json={"name": "Max", "class_noun": "dog", "references": references}).json()
    foreign = stranger.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status().json()
    work(foreign["id"])
    problem = edit(api, prior, image, {"prior_id": foreign["prior_id"]}).json()
    assert (problem["code"], problem["param"]) == ("not_found", "mix.prior_id")


def test_a_second_prior_in_use_stays_and_a_deleted_one_leaves_the_edit(
    api: TestClient, refused: Refuse, prior: str, upload: Upload, style: dict[str, Any], begin: UnitOfWork
) -> None:
    path, mix = f"/v1/priors/{style['prior_id']}", {"prior_id": style["prior_id"], "weight": 0.5}
    job = edit(api, prior, upload("white"), mix, seed=7).raise_for_status().json()
    assert refused(409, "prior_in_use", api.delete, path)["used_by"]["edits"] == [job["edit_id"]]
    with begin() as session:
        claim = attempts.claim(session, job["id"], "worker-1", lease_seconds=60)
        assert claim
        attempts.finish_failed(session, claim, "gpu_out_of_memory", "too large", {})
    assert api.delete(path).status_code == 204
    kept = api.get(f"/v1/edits/{job['edit_id']}").json()
    assert (kept["prior_id"], kept["mix"]) == (prior, {"prior_id": None, "weight": 0.5})
    assert kept["prior_deleted_at"] is not None
    assert api.get(f"/v1/jobs/{job['id']}").json()["prior_id"] == prior
    problem = refused(409, "job_not_retryable", api.post, f"/v1/jobs/{job['id']}/retry")
    assert "was deleted" in problem["detail"]
    assert api.get(f"/v1/priors/{prior}").status_code == 200


def test_with_the_second_subject_go_the_edits_that_show_it(
    api: TestClient, prior: str, upload: Upload, work: Work, style: dict[str, Any], storage: Storage, project: Project
) -> None:
    image, mix = upload("white"), {"prior_id": style["prior_id"]}
    done = edit(api, prior, image, mix, seed=7).raise_for_status().json()
    work(done["id"], IMAGE)
    queued = edit(api, prior, image, mix).raise_for_status().json()
    other = edit(api, prior, image, None).raise_for_status().json()
    assert api.delete(f"/v1/subjects/{style['subject_id']}").status_code == 204
    for job in (done, queued):
        assert api.get(f"/v1/edits/{job['edit_id']}").status_code == 404
        assert api.get(f"/v1/jobs/{job['id']}").status_code == 404
        assert list(storage.keys(f"projects/{project.id}/jobs/{job['id']}/")) == []
    for kept in (f"/v1/edits/{other['edit_id']}", f"/v1/priors/{prior}", f"/v1/images/{image}"):
        assert api.get(kept).status_code == 200


def test_a_second_prior_is_deleted_while_an_edit_that_mixes_it_is_requested(
    begin: UnitOfWork, api: TestClient, prior: str, upload: Upload, style: dict[str, Any], project: Project
) -> None:
    image, second = upload("white"), style["prior_id"]
    answer = answer_after(
        begin,
        lambda s: erasures.erase_prior(s, project.id, second),
        lambda: edit(api, prior, image, {"prior_id": second}),
    )
    assert (answer.status_code, answer.json()["param"]) == (404, "mix.prior_id")


def test_an_edit_that_mixes_a_prior_is_retried_while_that_is_deleted(
    begin: UnitOfWork, api: TestClient, prior: str, upload: Upload, style: dict[str, Any], project: Project
) -> None:
    second = style["prior_id"]
    job = edit(api, prior, upload("white"), {"prior_id": second}).raise_for_status().json()
    api.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()

    def retry(session: Session) -> None:
        assert retries.retry(session, project.id, job["id"])

    answer = answer_after(begin, retry, lambda: api.delete(f"/v1/priors/{second}"))
    assert (answer.status_code, answer.json()["used_by"]["edits"]) == (409, [job["edit_id"]])
