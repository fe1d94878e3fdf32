"""Images are pinned by the digests that their registry names; without an answer no file changes."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from deploy import digests
from deploy.digests import NoDigest, digest_of, images, pinned, unpinned
from tests.support.file_server import FileServer, serving

DIGEST = f"sha256:{'ab' * 32}"
COMPOSE = """services:
  db:
    image: postgres:18
  api:
    image: lipe-api # built
  worker:
    build: {args: {BASE_IMAGE: "${LIPE_CUDA_IMAGE:-python:3.11-slim}"}}
"""


def test_every_image_of_a_file_is_pinned_and_renewed() -> None:
    once = pinned(COMPOSE, {"postgres:18": DIGEST, "python:3.11-slim": DIGEST})
    assert f"image: postgres:18@{DIGEST}\n" in once
    assert f"{{LIPE_CUDA_IMAGE:-python:3.11-slim@{DIGEST}}}" in once
    assert "image: lipe-api # built" in once
    assert (unpinned(COMPOSE), unpinned(once)) == (["postgres:18", "python:3.11-slim"], [])
    assert images(once) == ["postgres:18", "python:3.11-slim"]
    assert pinned(once, {"postgres:18": DIGEST, "python:3.11-slim": DIGEST}) == once


def test_all_images_of_the_container_files_are_found() -> None:
    found = {image.partition(":")[0] for _, text in digests.texts() for image in images(text)}
    assert found == {
        "chrislusf/seaweedfs",
        "edoburu/pgbouncer",
        "grafana/grafana",
        "nginxinc/nginx-unprivileged",
        "node",
        "postgres",
        "prom/prometheus",
        "python",
        "valkey/valkey",
    }


@pytest.fixture
def registry() -> Iterator[FileServer]:
    """A registry with one image, which asks for a token as Docker Hub does."""

    def manifest(request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Authorization") != "Bearer a-token":
            request.send_response(401)
            realm = f"http://{request.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:library/postgres:pull"'
            request.send_header("WWW-Authenticate", challenge)
        else:
            is_index = "image.index" in request.headers["Accept"]
            request.send_response(200 if is_index else 404)
            request.send_header("Docker-Content-Digest", DIGEST)
        request.end_headers()

    token = "/token?service=registry&scope=repository%3Alibrary%2Fpostgres%3Apull"
    with serving({"/v2/library/postgres/manifests/18": manifest, token: b'{"token": "a-token"}'}) as server:
        yield server


def test_a_registry_is_asked_for_the_digest_with_its_token(registry: FileServer) -> None:
    with httpx.Client() as client:
        assert digest_of(client, "postgres:18", registry.url) == DIGEST
        with pytest.raises(NoDigest, match="no digest for postgres:19: status 404"):
            digest_of(client, "postgres:19", registry.url)


def test_without_a_registry_no_file_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(digests.texts())
    monkeypatch.setattr(digests, "DOCKER_HUB", "http://127.0.0.1:9")
    with pytest.raises(SystemExit, match="no file was changed"):
        digests.main()
    assert list(digests.texts()) == before
