"""Invalid requests: each gets a problem document with a code of its own, and nothing is stored."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import func, select

from ledger.database import UnitOfWork
from ledger.projects import Project
from ledger.storage import Storage
from ledger.tables import METADATA
from tests.support.uploads import png

Upload = Callable[..., str]
Refuse = Callable[..., dict[str, Any]]
DOG = "a photo of sks dog jumping"


@pytest.fixture
def refused(begin: UnitOfWork, storage: Storage, project: Project) -> Refuse:
    """`refused(status, code, api.post, path, ...)`: checks that nothing was stored, and returns the problem."""

    def refuse(status: int, code: str, call: Callable[..., Any], path: str, **request: Any) -> dict[str, Any]:
        before = _state(begin, storage, project)
        answer = call(path, **request)
        assert _state(begin, storage, project) == before
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        body: dict[str, Any] = answer.json()
        assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
        assert body["request_id"] == answer.headers["x-request-id"]
        assert body["type"] == f"urn:lipe:problem:{code}"
        assert len(body["detail"]) > 10
        return body

    return refuse


def _state(begin: UnitOfWork, storage: Storage, project: Project) -> tuple[dict[str, int], list[str]]:
    with begin() as session:
        rows = {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in METADATA.tables.items()
        }
    return rows, sorted(storage.keys(f"projects/{project.id}/"))


def _bytes(name: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.effect_noise((128, 128), 90).convert("RGB").save(file, name, **options)
    return file.getvalue()


def _bomb() -> bytes:
    """100 megapixels in 100 kB."""
    file = BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    return file.getvalue()


UPLOADS = [
    ("nothing", b"", 415, "image_format_unsupported"),
    ("not an image", b"#!/bin/sh\necho hello\n" * 100, 415, "image_format_unsupported"),
    ("another format", _bytes("GIF"), 415, "image_format_unsupported"),
    ("a bomb", _bomb(), 422, "image_too_many_pixels"),
    (
        "an animation",
        _bytes("PNG", save_all=True, append_images=[Image.new("RGB", (128, 128), "red")]),
        422,
        "image_animated",
    ),
    ("a truncated JPEG", _bytes("JPEG")[:-3000], 422, "image_unreadable"),
    ("a stamp", png(size=(32, 32)), 422, "image_sides_out_of_range"),
]


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
@pytest.mark.parametrize(("content", "status", "code"), [row[1:] for row in UPLOADS], ids=[row[0] for row in UPLOADS])
def test_uploads(api: TestClient, refused: Refuse, content: bytes, status: int, code: str, form: bool) -> None:
    sent = {"files": {"file": ("x.jpg", content)}} if form else {"content": content}
    refused(status, code, api.post, "/v1/images", **sent)


def test_a_form_without_the_file(api: TestClient, refused: Refuse) -> None:
    body = refused(422, "invalid_request", api.post, "/v1/images", files={"image": png()})
    assert body["param"] == "file"
    refused(422, "invalid_request", api.post, "/v1/images", data={"file": "x"}, files={"other": b"x"})
    broken = {"Content-Type": "multipart/form-data"}
    refused(400, "malformed_request", api.post, "/v1/images", content=b"--x\r\nnonsense", headers=broken)


@pytest.mark.parametrize("count", [0, 1, 2, 6, 7])
def test_too_few_and_too_many_references(api: TestClient, refused: Refuse, upload: Upload, count: int) -> None:
    references = [upload("red", (96 + place, 96)) for place in range(count)]
    payload = {"name": "Rex", "class_noun": "dog", "references": references}
    assert refused(422, "reference_count", api.post, "/v1/subjects", json=payload)["param"] == "references"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"class_noun": "woman"}, "consent_required", "consent"),
        ({"category": "person"}, "consent_required", "consent"),
        ({"class_noun": ""}, "invalid_request", "class_noun"),
        ({"name": "  "}, "invalid_request", "name"),
        ({"name": "a\0b"}, "invalid_request", "name"),
        ({"name": "\ud800"}, "invalid_request", "name"),
        ({"token": "two words"}, "invalid_request", "token"),
        ({"token": "dog"}, "invalid_request", "token"),
        ({"captions": ["one"]}, "invalid_request", "captions"),
        ({"metadata": {"k" * 65: "v"}}, "invalid_request", f"metadata.{'k' * 65}.[key]"),
        ({"metadata": {str(k): "v" for k in range(17)}}, "invalid_request", "metadata"),
        ({"color": "brown"}, "invalid_request", "color"),
    ],
)
def test_subjects(
    api: TestClient, refused: Refuse, upload: Upload, change: dict[str, Any], code: str, param: str
) -> None:
    references = [upload(color) for color in ("red", "green", "blue")]
    payload = {"name": "Rex", "class_noun": "dog", "references": references} | change
    content, kind = json.dumps(payload), {"Content-Type": "application/json"}  # httpx cannot encode a lone surrogate
    assert refused(422, code, api.post, "/v1/subjects", content=content, headers=kind)["param"] == param


def test_the_same_reference_twice(api: TestClient, refused: Refuse, upload: Upload) -> None:
    one, two = upload("red"), upload("blue")
    payload = {"name": "Rex", "class_noun": "dog", "references": [one, two, one]}
    refused(422, "invalid_request", api.post, "/v1/subjects", json=payload)


def test_resources_of_another_project_are_not_found(
    api: TestClient, stranger: TestClient, refused: Refuse, subject: dict[str, Any], prior: str, upload: Upload
) -> None:
    image = upload("white")
    edit = api.post("/v1/edits", json={"prior_id": prior, "image_id": image, "prompt": DOG}).json()
    endpoint = api.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/"}).json()["id"]
    theirs = stranger.post("/v1/images", content=png()).json()["id"]
    for path in (
        f"/v1/images/{image}",
        f"/v1/subjects/{subject['id']}",
        f"/v1/subjects/{subject['id']}/priors",
        f"/v1/priors/{prior}",
        f"/v1/edits/{edit['edit_id']}",
        f"/v1/jobs/{edit['id']}",
        f"/v1/jobs/{edit['id']}/events",
        f"/v1/webhook-endpoints/{endpoint}",
        f"/v1/webhook-endpoints/{endpoint}/secret",
    ):
        if not path.endswith("/events"):  # the owner's stream would not end before the job
            assert api.get(path).status_code == 200
        refused(404, "not_found", stranger.get, path)
    for path in (f"/v1/images/{image}", f"/v1/subjects/{subject['id']}", f"/v1/webhook-endpoints/{endpoint}"):
        refused(404, "not_found", stranger.delete, path)
    for path in (
        f"/v1/subjects/{subject['id']}/priors",
        f"/v1/jobs/{edit['id']}/cancel",
        f"/v1/jobs/{edit['id']}/retry",
        "/v1/webhook-deliveries/dlv_1/redeliver",
    ):
        refused(404, "not_found", stranger.post, path)
    for payload, param in (
        ({"subject_id": subject["id"], "image_id": theirs}, "subject_id"),
        ({"prior_id": prior, "image_id": theirs}, "prior_id"),
    ):
        body = refused(404, "not_found", stranger.post, "/v1/edits", json={**payload, "prompt": DOG})
        assert body["param"] == param
    for name in ("images", "subjects", "edits", "jobs", "webhook-endpoints", "webhook-deliveries"):
        assert [row["id"] for row in stranger.get(f"/v1/{name}").json()["data"]] == (
            [theirs] if name == "images" else []
        )


def test_a_reference_of_another_project(api: TestClient, stranger: TestClient, refused: Refuse, upload: Upload) -> None:
    references = [upload("red"), stranger.post("/v1/images", content=png()).json()["id"], upload("blue")]
    payload = {"name": "Rex", "class_noun": "dog", "references": references}
    assert refused(404, "not_found", api.post, "/v1/subjects", json=payload)["param"] == "references[1]"


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
        ({"parameters": {"map_window": [0.7, 0.2]}}, 422, "invalid_request", "parameters"),
        ({"seeds": [1, 1]}, 422, "invalid_request", "body"),
        ({"seed": -1}, 422, "invalid_request", "seed"),
        ({"n": 2, "parameters": {"renoise": 0}}, 422, "invalid_request", "body"),
        ({"n": 2, "method": "ddim"}, 422, "invalid_request", "body"),
        ({"method": "masactrl", "parameters": {"renoise": 0.5}}, 422, "invalid_request", "parameters.renoise"),
        ({"method": "ledits", "parameters": {"steps": 1}}, 422, "invalid_request", "parameters.steps"),
        ({"method": "mystyle", "parameters": {"beta": -1}}, 422, "invalid_request", "parameters.beta"),
        ({"n": 2, "method": "mystyle"}, 422, "invalid_request", "body"),
        ({"use_prior": False}, 422, "invalid_request", "body"),
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


def test_another_method_on_the_base_model_alone_needs_no_prior(
    api: TestClient, subject: dict[str, Any], upload: Upload
) -> None:
    payload = {"subject_id": subject["id"], "image_id": upload("white"), "prompt": DOG, "use_prior": False, "seed": 1}
    answer = api.post("/v1/edits", json=payload | {"method": "sdedit", "parameters": {"strength": 0.5}})
    assert answer.status_code == 202, answer.json()
    assert answer.json()["parameters"] == {"sdedit": {"strength": 0.5}, "seeds": [1]}
    assert answer.json()["prior_id"] is None


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


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"steps": 0}},
        {"parameters": {"learning_rate": 0}},
        {"parameters": {"compute_dtype": "float32"}},
        {"regularization": {"count": -1}},
    ],
)
def test_priors(api: TestClient, refused: Refuse, subject: dict[str, Any], change: dict[str, Any]) -> None:
    refused(422, "invalid_request", api.post, f"/v1/subjects/{subject['id']}/priors", json=change)
    refused(404, "not_found", api.post, "/v1/subjects/sub_unknown/priors")


def test_an_image_in_use_is_not_deleted(
    api: TestClient, refused: Refuse, subject: dict[str, Any], upload: Upload
) -> None:
    image_id = subject["references"][0]["image_id"]
    refused(409, "image_in_use", api.delete, f"/v1/images/{image_id}")


def test_erasing_a_subject_leaves_nothing(
    api: TestClient, subject: dict[str, Any], prior: str, storage: Storage, project: Project
) -> None:
    assert list(storage.keys(f"projects/{project.id}/"))
    assert api.delete(f"/v1/subjects/{subject['id']}").status_code == 204
    assert list(storage.keys(f"projects/{project.id}/")) == []
    assert api.get(f"/v1/priors/{prior}").status_code == 404
    assert api.get("/v1/images").json()["data"] == []
