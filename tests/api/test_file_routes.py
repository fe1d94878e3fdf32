"""Files through the API, if LIPE_PUBLIC_URL is set: signed URLs, ranges, uploads, and the refusals of each."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import make_app
from ledger.settings import Settings
from tests.support.uploads import png

PUBLIC_URL = "http://testserver"


@pytest.fixture(scope="module")
def app(server_settings: Settings) -> Iterator[FastAPI]:
    """The application, with files through the API."""
    opened = make_app(server_settings.model_copy(update={"public_url": PUBLIC_URL}))
    with TestClient(opened):
        yield opened


@pytest.fixture
def anyone(app: FastAPI) -> TestClient:
    """A client without a key."""
    return TestClient(app)


@pytest.fixture
def image(api: TestClient) -> dict[str, Any]:
    """A stored image with its signed URL."""
    stored = api.post("/v1/images", content=png("red")).json()
    body: dict[str, Any] = api.get(f"/v1/images/{stored['id']}").json()
    return body


def test_a_signed_url_needs_no_key_and_cannot_run_as_a_page(anyone: TestClient, image: dict[str, Any]) -> None:
    assert image["url"].startswith(f"{PUBLIC_URL}/files/projects/")
    answer = anyone.get(image["url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert sha256(answer.content).hexdigest() == image["sha256"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"].startswith("private, max-age=")
    head = anyone.head(image["url"])
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(image["size"]))


def test_the_host_header_does_not_change_urls(api: TestClient, image: dict[str, Any]) -> None:
    again = api.get(f"/v1/images/{image['id']}", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert again.json()["url"].startswith(f"{PUBLIC_URL}/")


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-7", 206, slice(0, 8)),
        ("bytes=8-", 206, slice(8, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=2-99999", 206, slice(2, None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
    ],
)
def test_a_range_is_a_part_of_the_file(
    anyone: TestClient, image: dict[str, Any], wanted: str, status: int, part: slice
) -> None:
    whole = anyone.get(image["url"]).content
    answer = anyone.get(image["url"], headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (status, whole[part])
    assert answer.headers["content-length"] == str(len(whole[part]))
    assert ("content-range" in answer.headers) == (status == 206)


def test_wrong_urls_are_refused(anyone: TestClient, api: TestClient, image: dict[str, Any]) -> None:
    url = image["url"]
    for wrong in (url[:-1] + ("0" if url[-1] != "0" else "1"), url.partition("?")[0], url.replace("prj_", "prj_1")):
        assert problem(anyone.get(wrong)) == (403, "signed_url_invalid")
    assert problem(anyone.put(url, content=b"other")) == (403, "signed_url_invalid")
    assert problem(anyone.post(url)) == (405, "method_not_allowed")
    outside = anyone.get(url, headers={"Range": f"bytes={image['size']}-"})
    assert problem(outside) == (416, "range_not_satisfiable")
    api.delete(f"/v1/images/{image['id']}").raise_for_status()
    assert problem(anyone.get(url)) == (404, "not_found")


def test_an_upload_passes_through_the_api(anyone: TestClient, api: TestClient) -> None:
    content = png("green")
    upload = api.post("/v1/uploads", json={"content_type": "image/png", "size": len(content)}).json()
    for wrong, headers in ((content + b"1", upload["headers"]), (content, {"Content-Type": "text/html"})):
        assert problem(anyone.put(upload["url"], content=wrong, headers=headers)) == (409, "upload_mismatch")
    assert problem(anyone.get(upload["url"])) == (403, "signed_url_invalid")
    assert anyone.put(upload["url"], content=content, headers=upload["headers"]).status_code == 200
    made = api.post("/v1/images", json={"upload_id": upload["id"]})
    assert (made.status_code, made.json()["width"]) == (201, 96)


def test_without_the_setting_there_is_no_such_path(server_settings: Settings, image: dict[str, Any]) -> None:
    with TestClient(make_app(server_settings)) as plain:
        assert problem(plain.get(image["url"])) == (404, "not_found")


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert len(answer.json()["detail"]) > 10
    return answer.status_code, answer.json()["code"]
