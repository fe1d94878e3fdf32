"""The storage without keys in the settings: the environment's, and temporary ones of a container's role."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from cli.embedded.s3 import S3
from ledger.s3_client import credentials_source
from ledger.settings import Settings
from ledger.storage import Storage
from tests.support.uploads import png

TOKEN = "a session's token"
PREFIX = "projects/prj_1/images/img_1/"


@pytest.fixture
def keyless(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings without keys, on a machine without credentials."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    return settings.model_copy(update={"s3_access_key_id": "", "s3_secret_access_key": SecretStr("")})


@pytest.fixture
def container_role(object_store: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The address of a container's credentials; the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = {
                "AccessKeyId": object_store.access_key_id,
                "SecretAccessKey": object_store.secret_access_key,
                "Token": TOKEN,
                "Expiration": (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/role")
        yield asked
        server.shutdown()


def test_the_environment_has_the_keys(keyless: Settings, object_store: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", object_store.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", object_store.secret_access_key)
    assert credentials_source(keyless) == "env"
    storage = Storage(keyless)
    stored = storage.put(PREFIX, "image.png", png(), "image/png")
    assert httpx.get(storage.presign_get(stored.key)).content == png()


def test_a_container_has_a_role(keyless: Settings, container_role: list[str]) -> None:
    assert credentials_source(keyless) == "container-role"
    storage = Storage(keyless)
    stored = storage.put(PREFIX, "image.png", png(), "image/png")
    assert storage.get(stored.key, stored.sha256) == png()
    url = storage.presign_get(stored.key, filename="rex.png")
    assert parse_qs(urlsplit(url).query)["X-Amz-Security-Token"] == [TOKEN]
    assert httpx.get(url).content == png()
    key = f"{PREFIX}sent.png"
    sent = httpx.put(
        storage.presign_put(key, "image/png", len(png())), content=png(), headers={"content-type": "image/png"}
    )
    assert sent.status_code == 200
    assert storage.receive(key, len(png())) == png()
    assert set(container_role) == {"/role"}


def test_the_keys_of_the_settings_win(settings: Settings, container_role: list[str]) -> None:
    assert credentials_source(settings) == "settings"
    assert Storage(settings).is_ready()
    assert container_role == []


def test_without_any_credentials(keyless: Settings) -> None:
    assert credentials_source(keyless) is None
    assert not Storage(keyless).is_ready()


@pytest.mark.parametrize("given", [{"s3_access_key_id": "lipe"}, {"s3_secret_access_key": "secret"}])
def test_one_key_alone_is_refused(settings: Settings, given: dict[str, Any]) -> None:
    required = {
        name: getattr(settings, name) for name in ("database_url", "broker_url", "s3_endpoint_url", "key_pepper")
    }
    with pytest.raises(ValueError, match="set both s3_access_key_id and s3_secret_access_key, or none of them"):
        Settings(**required, **given)
