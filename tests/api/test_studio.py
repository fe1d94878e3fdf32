"""The routes of the studio: headers, media types, and a server whose studio is not built."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import problem_answers
from api.app import make_app
from api.routes import studio
from ledger.settings import Settings

PAGE = '<script type="module" src="./assets/index-1a.js"></script>'
SETTINGS = Settings.model_construct(s3_endpoint_url="http://storage:9000")


def client_of(folder: Path, settings: Settings = SETTINGS) -> TestClient:
    """A client of an application with these routes alone."""
    app = FastAPI()
    problem_answers.install(app)
    app.include_router(studio.make_router(settings, folder))
    return TestClient(app)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder as `make studio` writes it."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "assets" / "index-1a.js").write_text("whole")
    (tmp_path / "assets" / "index-1a.js.gz").write_bytes(b"\x1f\x8b compressed")
    (tmp_path / "assets" / "notes.txt").write_text("no part of a page")
    return tmp_path


def policy_of(client: TestClient) -> dict[str, str]:
    """The directives of the page's Content-Security-Policy."""
    header = client.get("/").headers["content-security-policy"]
    return dict(part.strip().split(" ", 1) for part in header.split(";"))


def test_the_page_is_asked_for_again_and_its_assets_are_not(built: Path) -> None:
    client = client_of(built)
    page = client.get("/").raise_for_status()
    assert (page.text, page.headers["cache-control"]) == (PAGE, "no-cache")
    asset = client.get("/assets/index-1a.js", headers={"accept-encoding": "identity"}).raise_for_status()
    assert (asset.text, asset.headers["content-type"]) == ("whole", "text/javascript; charset=utf-8")
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    for answer in (page, asset, client.head("/").raise_for_status()):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_browser_that_accepts_gzip_gets_the_compressed_asset(built: Path) -> None:
    asset = client_of(built).head("/assets/index-1a.js", headers={"accept-encoding": "gzip, br"}).raise_for_status()
    assert asset.headers["content-encoding"] == "gzip"
    assert asset.headers["vary"] == "Accept-Encoding"


def test_the_policy_allows_this_server_and_the_files_alone(built: Path) -> None:
    policy = policy_of(client_of(built))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["img-src"] == "'self' blob: http://storage:9000"
    assert policy["connect-src"] == "'self' http://storage:9000"
    behind_proxy = policy_of(
        client_of(built, settings=SETTINGS.model_copy(update={"public_url": "https://images.example.com/lipe"}))
    )
    assert behind_proxy["connect-src"] == "'self' https://images.example.com"


@pytest.mark.parametrize("name", ["nothing.js", "notes.txt", "index-1a.js.gz", "..%2Findex.html", ".hidden.js"])
def test_another_file_is_not_found(built: Path, name: str) -> None:
    answer = client_of(built).get(f"/assets/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_without_a_build_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    client = client_of(tmp_path / "missing")
    page = client.get("/")
    assert page.status_code == 404
    assert "make studio" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert client.get("/assets/index-1a.js").status_code == 404


def test_the_application_serves_the_studio_without_a_key_and_keeps_it_out_of_the_contract() -> None:
    client = TestClient(make_app(SETTINGS))
    assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"
    assert "/" not in client.get("/openapi.json").json()["paths"]
