"""Signed URLs of the API: the signature covers method, key and query, and a URL expires."""

from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from pydantic import SecretStr

from ledger.settings import Settings
from ledger.signed_urls import FILES_PATH, ApiUrls, InvalidUrl
from ledger.storage import Storage

KEY = "projects/prj_1/jobs/job_1/1/0123-image 1.png"
Query = list[tuple[str, str]]


@pytest.fixture
def urls(settings: Settings) -> ApiUrls:
    return ApiUrls(settings.model_copy(update={"public_url": "https://lipe.example.com/base"}))


def test_a_url_returns_what_was_signed(urls: ApiUrls) -> None:
    key, query = parts(urls.get(KEY, "Rex & co.png"))
    assert key == KEY
    assert urls.check("GET", key, query)["filename"] == "Rex & co.png"
    key, query = parts(urls.put(KEY, "image/png", 7))
    assert urls.check("PUT", key, query) | {"expires": ""} == {"content_type": "image/png", "size": "7", "expires": ""}


@pytest.mark.parametrize(
    "change",
    [
        lambda method, key, query: ("PUT", key, query),
        lambda method, key, query: (method, f"{key}x", query),
        lambda method, key, query: (method, key, query[1:]),
        lambda method, key, query: (method, key, [*query, ("filename", "b.html")]),
        lambda method, key, query: (method, key, [*query, ("extra", "1")]),
        lambda method, key, query: (method, key, [*query, query[-1]]),
        lambda method, key, query: (method, key, [(name, value.replace("a.png", "b.html")) for name, value in query]),
        lambda method, key, query: (
            method, key, [(name, "9999999999" if name == "expires" else value) for name, value in query]
        ),
        lambda method, key, query: (method, key, [("signature", "\u00e9")]),
        lambda method, key, query: (method, key, []),
    ],
)  # fmt: skip
def test_a_changed_url_is_refused(urls: ApiUrls, change: Callable[[str, str, Query], tuple[str, str, Query]]) -> None:
    key, query = parts(urls.get(KEY, "a.png"))
    urls.check("GET", key, query)
    with pytest.raises(InvalidUrl, match="signature"):
        urls.check(*change("GET", key, query))


def test_a_url_of_another_service_is_refused(urls: ApiUrls) -> None:
    pepper = SecretStr("another pepper of a test")
    other = ApiUrls(urls.settings.model_copy(update={"key_pepper": pepper}))
    with pytest.raises(InvalidUrl, match="signature"):
        urls.check("GET", *parts(other.get(KEY)))


def test_a_secret_of_their_own_replaces_the_pepper(urls: ApiUrls) -> None:
    secret = {"file_url_secret": SecretStr("a secret of urls")}
    api = ApiUrls(urls.settings.model_copy(update=secret))
    worker = ApiUrls(urls.settings.model_copy(update=secret | {"key_pepper": SecretStr("no pepper of any key")}))
    api.check("GET", *parts(worker.get(KEY)))
    with pytest.raises(InvalidUrl, match="signature"):
        urls.check("GET", *parts(worker.get(KEY)))


def test_a_url_expires(urls: ApiUrls, monkeypatch: pytest.MonkeyPatch) -> None:
    key, query = parts(urls.get(KEY, seconds=60))
    now = int(dict(query)["expires"])
    monkeypatch.setattr("ledger.signed_urls.time.time", lambda: now + 0.5 - 1)
    urls.check("GET", key, query)
    monkeypatch.setattr("ledger.signed_urls.time.time", lambda: now + 0.5)
    with pytest.raises(InvalidUrl, match="expired: read the resource again"):
        urls.check("GET", key, query)


def test_the_setting_decides_who_serves_files(settings: Settings) -> None:
    assert Storage(settings).presign_get(KEY).startswith(settings.s3_endpoint_url)
    public = settings.model_copy(update={"public_url": "http://lipe.example.com"})
    assert Storage(public).presign_get(KEY).startswith(f"http://lipe.example.com{FILES_PATH}/projects/")


def parts(url: str) -> tuple[str, Query]:
    """Key and query, as the web server decodes them."""
    assert url.startswith("http")
    split = urlsplit(url)
    return unquote(split.path).partition(f"{FILES_PATH}/")[2], parse_qsl(split.query)
