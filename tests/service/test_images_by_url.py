"""An image by URL through the real programs: API, broker, and a worker of webhooks."""

from collections.abc import Callable
from subprocess import Popen

from fastapi.testclient import TestClient

from ledger.settings import Settings
from tests.support.file_server import serving
from tests.support.uploads import photo


def test_a_worker_of_webhooks_fetches_the_file(
    program: Callable[..., Popen[bytes]], api: TestClient, settings: Settings
) -> None:
    assert settings.allow_private_urls
    worker = program("worker", "--queues", "webhooks")
    with serving({"/photo.heic": photo("HEIF")}) as server:
        answer = api.post("/v1/images", json={"url": f"{server.url}/photo.heic"})
    assert worker.poll() is None
    assert (answer.status_code, answer.json().get("width")) == (201, 96), answer.json()
