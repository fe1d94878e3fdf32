"""The page /docs works without internet access: this server has every file that the page names."""

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from fastapi.testclient import TestClient

from api.app import make_app
from ledger.settings import Settings

MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png", ".json": "application/json"}


class Page(HTMLParser):
    """The URLs that a page names, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline = ""
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        self.urls += [value for name, value in attrs if name in ("src", "href") and value]
        self.inline += "".join(value or "" for name, value in attrs if name.startswith("on"))

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        self.inline += data.strip() if self._in_script else ""


@pytest.fixture(scope="module")
def client() -> TestClient:
    """A client without a key. No server is needed: the page reads no resource."""
    return TestClient(make_app(Settings.model_construct()))


@pytest.mark.parametrize("prefix", ["", "/lipe"])
def test_this_server_has_every_file_of_the_page(client: TestClient, prefix: str) -> None:
    page = client.get("/docs").raise_for_status()
    urls = Page(page.text).urls
    assert len(urls) == 5
    for url in urls:
        address = urlsplit(urljoin(f"http://testserver{prefix}/docs", url))
        assert address.netloc == "testserver"
        assert address.path.startswith(f"{prefix}/")
        answer = client.get(address.path.removeprefix(prefix)).raise_for_status()
        suffix = address.path[address.path.rindex(".") :]
        assert answer.headers["content-type"].partition(";")[0] == MEDIA_TYPES[suffix]
        assert len(answer.content) > 100


def test_the_page_starts_swagger_ui_with_the_contract(client: TestClient) -> None:
    start = client.get("/docs/start.js").text
    assert start.startswith("SwaggerUIBundle(")
    assert 'url: "openapi.json"' in start
    assert client.get("/openapi.json").json()["info"]["title"] == "LIPE"
    assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
    assert ".swagger-ui" in client.get("/docs/swagger-ui.css").text


def test_the_policy_allows_the_scripts_of_this_server_alone(client: TestClient) -> None:
    page = client.get("/docs")
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";") if part.strip()
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "http" not in page.headers["content-security-policy"]
    assert not Page(page.text).inline


@pytest.mark.parametrize("name", ["redoc.standalone.js", "nothing.js", "..%2Fcore.py"])
def test_another_file_is_not_found(client: TestClient, name: str) -> None:
    answer = client.get(f"/docs/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
