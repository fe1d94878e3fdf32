"""Files by URL: fetched from public servers only, within limits of size and time."""

import time
from http.server import BaseHTTPRequestHandler

import pytest

from ledger import fetches
from ledger.addresses import Forbidden
from ledger.database import UnitOfWork
from ledger.models import Project, Upload
from ledger.safehttp import TooLarge, Unreachable, get
from ledger.storage import Storage
from ledger.uploads import file_key
from tests.support.file_server import File, endless, redirect, serving
from worker.fetch import fetch

CONTENT = b"a file of any kind"
LIMIT = 100_000


def wanted(begin: UnitOfWork, project: Project, url: str, *, seconds: float = 60.0) -> str:
    with begin() as session:
        return fetches.request(session, project.id, url, seconds=seconds).id


def fetched(begin: UnitOfWork, storage: Storage, upload_id: str, *, allow_private: bool = True) -> Upload:
    fetch(begin, storage, upload_id, allow_private=allow_private, max_bytes=LIMIT)
    with begin() as session:
        return session.get_one(Upload, upload_id)


def test_the_file_is_stored_once(
    begin: UnitOfWork, sender_begin: UnitOfWork, storage: Storage, project: Project
) -> None:
    with serving({"/photo": CONTENT}) as server:
        upload_id = wanted(begin, project, f"{server.url}/photo")
        for _ in range(2):  # the second is a repeated message
            upload = fetched(sender_begin, storage, upload_id)
        assert server.seen == ["/photo"]
        assert "authorization" not in {name.lower() for name in server.headers}
    assert (upload.size, upload.failure) == (len(CONTENT), None)
    assert storage.receive(file_key(project.id, upload_id), len(CONTENT)) == CONTENT


def test_each_failure_is_recorded(
    begin: UnitOfWork, sender_begin: UnitOfWork, storage: Storage, project: Project
) -> None:
    files: dict[str, File] = {
        "/empty": b"",
        "/large": b"x" * (LIMIT + 1),
        "/endless": endless,
        "/moved": redirect("/photo"),
    }
    with serving({**files, "/photo": CONTENT}) as server:
        for path, code, words in (
            ("/missing", "image_url_unreachable", "status 404"),
            ("/moved", "image_url_unreachable", "redirects"),
            ("/empty", "image_url_unreachable", "empty"),
            ("/large", "image_too_large", "more than 100000 bytes"),
            ("/endless", "image_too_large", "more than 100000 bytes"),
        ):
            upload = fetched(sender_begin, storage, wanted(begin, project, server.url + path))
            assert (upload.failure, upload.size) == (code, 0)
            assert words in str(upload.failure_detail)
        assert "/photo" not in server.seen  # no redirect is followed
    gone = fetched(sender_begin, storage, wanted(begin, project, f"{server.url}/photo"))
    assert gone.failure == "image_url_unreachable"
    assert list(storage.keys(f"projects/{project.id}/")) == []


@pytest.mark.parametrize("url", ["{}/photo", "http://localhost/photo", "http://169.254.169.254/latest/meta-data/",
                                 "file:///etc/passwd", "http://user:password@example.com/", "http://[::ffff:10.0.0.1]/",
                                 "https://8.8.8.8:22/"])  # fmt: skip
def test_the_network_of_the_service_is_out_of_reach(
    begin: UnitOfWork, sender_begin: UnitOfWork, storage: Storage, project: Project, url: str
) -> None:
    with serving({"/photo": CONTENT}) as server:
        upload_id = wanted(begin, project, url.format(server.url))
        upload = fetched(sender_begin, storage, upload_id, allow_private=False)
        assert (upload.failure, upload.size, server.seen) == ("image_url_forbidden", 0, [])


def test_nothing_is_fetched_for_a_request_that_has_ended(
    begin: UnitOfWork, sender_begin: UnitOfWork, storage: Storage, project: Project
) -> None:
    with serving({"/photo": CONTENT}) as server:
        late = wanted(begin, project, f"{server.url}/photo", seconds=-1.0)
        forgotten = wanted(begin, project, f"{server.url}/photo")
        with begin() as session:
            fetches.forget(session, forgotten)
        for upload_id in (late, forgotten):
            fetch(sender_begin, storage, upload_id, allow_private=True, max_bytes=LIMIT)
        assert server.seen == []


def test_a_server_that_sends_a_byte_now_and_then_is_cut_off() -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(600):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return
            time.sleep(0.05)

    with serving({"/": trickle}) as server, pytest.raises(Unreachable, match="ReadTimeout"):
        get(f"{server.url}/", max_bytes=LIMIT, seconds=0.5, allow_private=True)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving({"/": CONTENT}) as server:
        assert get(f"{server.url}/", max_bytes=LIMIT, allow_private=True) == CONTENT
        with pytest.raises(TooLarge):
            get(f"{server.url}/", max_bytes=len(CONTENT) - 1, allow_private=True)
        with pytest.raises(Forbidden):
            get(f"{server.url}/", max_bytes=LIMIT)
