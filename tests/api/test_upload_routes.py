"""Files sent to the storage by signed URLs: the same images come of them, or the same refusals."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from api.app import make_app
from ledger.settings import Settings
from ledger.storage import Storage
from tests.reliability.proxy import Fault, HttpProxy
from tests.support.uploads import header_of, png

Upload = dict[str, Any]


def announce(api: TestClient, content: bytes, **headers: str) -> Upload:
    payload = {"content_type": "image/png", "size": len(content)}
    body: Upload = api.post("/v1/uploads", json=payload, headers=headers).raise_for_status().json()
    return body


def put(upload: Upload, content: bytes) -> int:
    return httpx.put(upload["url"], content=content, headers=upload["headers"]).status_code


def upload_file(api: TestClient, content: bytes) -> Upload:
    """An upload with its file."""
    upload = announce(api, content)
    assert put(upload, content) == 200
    return upload


def create_image(api: TestClient, upload: Upload, **headers: str) -> Any:
    return api.post("/v1/images", json={"upload_id": upload["id"]}, headers=headers)


def files(storage: Storage, upload: Upload) -> list[str]:
    """The stored objects of the upload."""
    return list(storage.keys(key_of(storage, upload)))


def key_of(storage: Storage, upload: Upload) -> str:
    return httpx.URL(upload["url"]).path.partition(f"/{storage.settings.s3_bucket}/")[2]


def animation() -> bytes:
    file = BytesIO()
    frames = [Image.new("RGB", (96, 96), color) for color in ("red", "blue")]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    return file.getvalue()


def test_an_upload_becomes_the_same_image_as_a_direct_one(api: TestClient, storage: Storage) -> None:
    direct = api.post("/v1/images", content=png("teal")).json()
    upload = upload_file(api, png("teal"))
    assert files(storage, upload)
    answer = create_image(api, upload)
    image = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/images/{image['id']}")
    different = {"id", "created_at"}
    assert {key: image[key] for key in image.keys() - different} == {
        key: direct[key] for key in direct.keys() - different
    }
    assert httpx.get(api.get(f"/v1/images/{image['id']}").json()["url"]).content.startswith(b"\x89PNG")
    assert files(storage, upload) == []
    again = create_image(api, upload)
    assert (again.status_code, again.json()["code"], again.json()["param"]) == (409, "upload_used", "upload_id")


def test_a_repeated_request_gets_its_answer_after_the_file_is_deleted(api: TestClient) -> None:
    uploads = [announce(api, png(), **{"Idempotency-Key": "announce"}) for _ in range(2)]
    assert uploads[0] == uploads[1]
    put(uploads[0], png())
    answers = [create_image(api, uploads[0], **{"Idempotency-Key": "image"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(api.get("/v1/images").json()["data"]) == 1


def test_simultaneous_requests_create_one_image_of_an_upload(api: TestClient, settings: Settings) -> None:
    upload = upload_file(api, png())
    one_loop = TestClient(make_app(settings), headers=dict(api.headers))
    with one_loop as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: create_image(client, upload), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    assert len(api.get("/v1/images").json()["data"]) == 1


def test_the_signature_covers_size_and_type(api: TestClient, storage: Storage) -> None:
    upload = announce(api, png())
    assert put(upload, png() + b"more") == 403
    assert put(upload | {"headers": {"Content-Type": "text/html"}}, png()) == 403
    assert files(storage, upload) == []


def test_a_missing_file_can_be_sent_later(api: TestClient, storage: Storage) -> None:
    upload = announce(api, png())
    missing = create_image(api, upload)
    assert (missing.status_code, missing.json()["code"]) == (409, "upload_incomplete")
    longer = {"Key": key_of(storage, upload), "Body": b"a longer file" * 1000}
    storage._client.put_object(Bucket=storage.settings.s3_bucket, **longer)
    wrong = create_image(api, upload)
    assert (wrong.json()["code"], "13000 bytes" in wrong.json()["detail"]) == ("upload_incomplete", True)
    assert put(upload, png()) == 200
    assert create_image(api, upload).status_code == 201


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<html>" + bytes(500), "image_format_unsupported"),
        (png()[:-40], "image_unreadable"),
        (png("red", (32, 32)), "image_sides_out_of_range"),
        (header_of(8000, 8000), "image_too_many_pixels"),
        (animation(), "image_animated"),
    ],
)
def test_a_bad_file_is_refused_and_not_kept(api: TestClient, storage: Storage, content: bytes, code: str) -> None:
    upload = upload_file(api, content)
    refused, direct = create_image(api, upload), api.post("/v1/images", content=content)
    assert (refused.status_code, refused.json()["code"]) == (direct.status_code, direct.json()["code"])
    assert refused.json()["code"] == code
    assert files(storage, upload) == []
    assert api.get("/v1/images").json()["data"] == []


def test_an_upload_that_cannot_be_an_image_is_refused(api: TestClient, settings: Settings) -> None:
    for payload, status, code in (
        ({"content_type": "image/png", "size": settings.max_upload_bytes + 1}, 413, "image_too_large"),
        ({"content_type": "image/gif", "size": 9}, 422, "invalid_request"),
        ({"content_type": "image/png", "size": 0}, 422, "invalid_request"),
        ({"content_type": "image/png"}, 422, "invalid_request"),
    ):
        answer = api.post("/v1/uploads", json=payload)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    for body, param in ((b"{", "body"), (b"[]", "body"), (b"{}", "upload_id"), (b'{"upload_id": 1}', "upload_id")):
        answer = api.post("/v1/images", content=body, headers={"Content-Type": "application/json; charset=utf-8"})
        assert (answer.status_code, answer.json()["param"]) == (422, param)


def test_another_project_cannot_use_an_upload(api: TestClient, stranger: TestClient, storage: Storage) -> None:
    upload = upload_file(api, png())
    foreign, made_up = create_image(stranger, upload), create_image(stranger, {"id": "upl_0123456789abcdef"})
    for answer in (foreign, made_up):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert files(storage, upload)
    assert create_image(api, upload).status_code == 201


def test_an_upload_survives_an_outage_of_the_storage(api: TestClient, settings: Settings) -> None:
    upload = upload_file(api, png())
    with HttpProxy(settings.s3_endpoint_url).running() as proxy:
        behind = settings.model_copy(update={"s3_endpoint_url": proxy.url})
        with TestClient(make_app(behind), headers=dict(api.headers)) as client:
            proxy.faults = lambda method, path: Fault(status=500)
            away = create_image(client, upload)
            assert (away.status_code, away.json()["code"]) == (503, "storage_unavailable")
            proxy.faults = lambda method, path: None
            assert create_image(client, upload).status_code == 201


def test_images_of_both_kinds_make_a_subject(api: TestClient, upload: Callable[..., str]) -> None:
    images = [
        upload("red"),
        *(create_image(api, upload_file(api, png(color))).json()["id"] for color in ("green", "blue")),
    ]
    payload = {"name": "Rex", "class_noun": "dog", "references": images}
    assert api.post("/v1/subjects", json=payload).status_code == 201
