"""Imports of LoRA files: what the API refuses, and that it keeps nothing of what it refuses."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.lora_header import MAX_HEADER_BYTES
from ledger.models import Project
from ledger.settings import Settings
from ledger.storage import Storage, project_prefix
from tests.support.uploads import png

TYPE = "application/x-safetensors"
NAME = "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight"


def lora_file(header: Any, data: bytes = bytes(8)) -> bytes:
    """A safetensors file with this header, as JSON or as bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(begin: int = 0, end: int = 8, **changed: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [1, 2], "data_offsets": [begin, end], **changed}


def announced(api: TestClient, content: bytes) -> dict[str, Any]:
    """An upload with its file."""
    payload = {"content_type": TYPE, "size": len(content)}
    upload: dict[str, Any] = api.post("/v1/uploads", json=payload).raise_for_status().json()
    httpx.put(upload["url"], content=content, headers=upload["headers"]).raise_for_status()
    return upload


def imported(api: TestClient, subject: dict[str, Any], upload: dict[str, Any], **headers: str) -> Any:
    path = f"/v1/subjects/{subject['id']}/priors/import"
    return api.post(path, json={"upload_id": upload["id"], "metadata": {"order": "7"}}, headers=headers)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"short", "no safetensors file"),
        ((1000).to_bytes(8, "little") + b"{}", "no safetensors file"),
        ((2**64 - 1).to_bytes(8, "little") + bytes(64), "no safetensors file"),
        (b"PK\x03\x04" + bytes(200), "no safetensors file"),
        (lora_file(b" " * (MAX_HEADER_BYTES + 1)), "remove metadata"),
        (lora_file(b"\xff" * 40), "is no JSON"),
        (lora_file(b"[" * 200_000), "is no JSON"),
        (lora_file(b'{"a_lora": {}, "a_lora": {}}'), "is no JSON"),
        (lora_file(b'{"a_lora": {"shape": [' + b"9" * 5000 + b"]}}"), "is no JSON"),
        (lora_file([]), "no JSON object"),
        (lora_file({}), "it has 0 tensors"),
        (lora_file({f"lora_{number}": {} for number in range(20_001)}), "it has 20001 tensors"),
        (lora_file({"__metadata__": {"a": 1}, NAME: tensor()}), "object of strings"),
        (lora_file({"lora" * 200: tensor()}), "printable characters"),
        (lora_file({"lora\n\x1b[31m": tensor()}), "printable characters"),
        (lora_file({NAME: 1}), "of the type None"),
        (lora_file({NAME: tensor(dtype="I64")}), "of the type I64"),
        (lora_file({NAME: tensor(dtype=["F32"])}), "of the type"),
        (lora_file({NAME: tensor(shape=[-1, -2])}), "no valid shape"),
        (lora_file({NAME: tensor(shape=[True, 2])}), "no valid shape"),
        (lora_file({NAME: tensor(shape=[1] * 9)}), "no valid shape"),
        (lora_file({NAME: tensor(shape=[2.0])}), "no valid shape"),
        (lora_file({NAME: tensor(data_offsets=[0])}), "no valid place"),
        (lora_file({NAME: tensor(data_offsets=[8, 0])}), "does not fit its shape"),
        (lora_file({NAME: tensor(shape=[2, 2])}), "does not fit its shape"),
        (lora_file({NAME: tensor(8, 16)}, bytes(16)), "overlap or have gaps"),
        (lora_file({NAME: tensor(), "x": tensor()}), "overlap or have gaps"),
        (lora_file({NAME: tensor()}, bytes(4)), "the file is cut"),
        (lora_file({NAME: tensor()}, bytes(12)), "12 follow the header"),
        (lora_file({"conv_in.weight": tensor()}), "not a whole model"),
    ],
    ids=range(30),
)
def test_a_hostile_header_is_refused_and_nothing_is_kept(
    api: TestClient, subject: dict[str, Any], storage: Storage, project: Project, content: bytes, message: str
) -> None:
    before = set(storage.keys(project_prefix(project.id)))
    upload = announced(api, content)
    answer = imported(api, subject, upload)
    assert (answer.status_code, answer.json()["code"]) == (422, "lora_invalid"), answer.text
    assert message in answer.json()["detail"]
    kept = set(storage.keys(project_prefix(project.id))) - before
    assert not [key for key in kept if "/uploads/" not in key]
    assert api.get(f"/v1/subjects/{subject['id']}/priors").json()["data"] == []


def test_an_import_is_a_job_of_its_subject_and_uses_the_upload_once(
    api: TestClient, stranger: TestClient, subject: dict[str, Any], storage: Storage, project: Project
) -> None:
    upload = announced(api, lora_file({NAME: tensor()}))
    assert imported(stranger, subject, upload).json()["code"] == "not_found"
    first, again = (imported(api, subject, upload, **{"Idempotency-Key": "one"}) for _ in range(2))
    assert (first.status_code, first.json()) == (202, again.json())
    job = first.json()
    assert (job["kind"], job["subject_id"], job["metadata"]) == ("prior", subject["id"], {"order": "7"})
    assert job["parameters"]["import"]["size"] == len(lora_file({NAME: tensor()}))
    files = [key for key in storage.keys(project_prefix(project.id)) if "/imports/" in key or "/uploads/" in key]
    assert files == [f"{project_prefix(project.id)}imports/{job['prior_id']}/lora.safetensors"]
    assert imported(api, subject, upload).json()["code"] == "upload_used"
    assert api.delete(f"/v1/priors/{job['prior_id']}").status_code == 204
    assert not list(storage.keys(f"{project_prefix(project.id)}imports/"))


def test_a_deleted_subject_takes_the_file_of_its_import_along(
    api: TestClient, subject: dict[str, Any], storage: Storage, project: Project
) -> None:
    assert imported(api, subject, announced(api, lora_file({NAME: tensor()}))).status_code == 202
    assert api.delete(f"/v1/subjects/{subject['id']}").status_code == 204
    assert not list(storage.keys(f"{project_prefix(project.id)}imports/"))


def test_uploads_are_for_one_purpose(
    api: TestClient, subject: dict[str, Any], settings: Settings, upload: Callable[..., str]
) -> None:
    too_large = {"content_type": TYPE, "size": settings.max_import_bytes + 1}
    answer = api.post("/v1/uploads", json=too_large)
    assert (answer.status_code, answer.json()["code"]) == (413, "lora_too_large")
    missing = api.post("/v1/uploads", json={"content_type": TYPE, "size": 64}).json()
    assert imported(api, subject, missing).json()["code"] == "upload_incomplete"
    as_image = api.post("/v1/images", json={"upload_id": announced(api, png())["id"]})
    assert as_image.json()["code"] == "image_format_unsupported"
    photo = api.post("/v1/uploads", json={"content_type": "image/png", "size": 64}).json()
    assert "announced as image/png" in imported(api, subject, photo).json()["detail"]
