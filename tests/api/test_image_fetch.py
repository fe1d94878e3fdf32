"""Images by URL: a worker fetches the file, and the request waits for it."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import image_fetch
from ledger.models import Project
from ledger.storage import Storage
from tests.support.api_fixtures import Refuse
from tests.support.file_server import File, redirect, serving
from tests.support.uploads import header_of, photo, png


def by_url(api: TestClient, url: str, **headers: str) -> Any:
    return api.post("/v1/images", json={"url": url}, headers=headers)


@pytest.mark.usefixtures("fetcher")
def test_an_image_by_url_is_the_same_as_the_uploaded_file(api: TestClient, storage: Storage, project: Project) -> None:
    content = photo("JPEG")
    direct = api.post("/v1/images", content=content).json()
    with serving({"/photo.jpg?size=large": content}) as server:
        answer = by_url(api, f"{server.url}/photo.jpg?size=large#part")
    image = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/images/{image['id']}")
    assert (image["content_type"], image["sha256"]) == ("image/jpeg", direct["sha256"])
    assert list(storage.keys(f"projects/{project.id}/uploads/")) == []


@pytest.mark.usefixtures("fetcher")
def test_a_repeated_request_fetches_once(api: TestClient) -> None:
    with serving({"/": png()}) as server:
        answers = [by_url(api, f"{server.url}/", **{"Idempotency-Key": "one"}) for _ in range(2)]
        assert server.seen == ["/"]
    assert answers[0].json() == answers[1].json()
    assert len(api.get("/v1/images").json()["data"]) == 1


@pytest.mark.usefixtures("fetcher")
@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/missing", 422, "image_url_unreachable"),
        ("/moved", 422, "image_url_unreachable"),
        ("/page", 415, "image_format_unsupported"),
        ("/bomb", 422, "image_too_many_pixels"),
        ("/cut", 422, "image_unreadable"),
    ],
)
def test_nothing_is_kept_of_a_refused_url(api: TestClient, refused: Refuse, path: str, status: int, code: str) -> None:
    files: dict[str, File] = {
        "/moved": redirect("/"),
        "/page": b"<html>",
        "/bomb": header_of(8000, 8000),
        "/cut": photo("HEIF")[:-90],
    }
    with serving({**files, "/": png()}) as server:
        refused(status, code, api.post, "/v1/images", json={"url": server.url + path})


@pytest.mark.usefixtures("fetcher")
def test_a_url_that_is_not_allowed_is_refused(api: TestClient, refused: Refuse) -> None:
    for url in ("ftp://example.com/a.jpg", "http://user:word@example.com/", "http://no-such-host.invalid/"):
        problem = refused(422, "image_url_forbidden", api.post, "/v1/images", json={"url": url})
        assert problem["param"] == "url"


def test_without_a_worker_the_request_ends_and_says_so(
    api: TestClient, refused: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_fetch, "WAIT_SECONDS", 0.3)
    problem = refused(422, "image_url_unreachable", api.post, "/v1/images", json={"url": "https://example.com/a.jpg"})
    assert "no file arrived" in problem["detail"]


def test_one_place_of_the_file_is_given(api: TestClient, refused: Refuse) -> None:
    for body in ({}, {"url": None}, {"url": "https://example.com/", "upload_id": "upl_0123456789abcdef"}):
        problem = refused(422, "invalid_request", api.post, "/v1/images", json=body)
        assert "either `upload_id` or `url`" in problem["detail"]
    problem = refused(422, "invalid_request", api.post, "/v1/images", json={"urls": "https://example.com/"})
    assert "did you mean" in problem["detail"]
