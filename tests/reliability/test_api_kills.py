"""`kill -9` of the API while twenty send the same request: one job, ever, and everybody gets its 202 in the end."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from cli.embedded.process import free_port
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.states import State
from ledger.storage import Storage
from tests.reliability import failpoints
from tests.reliability.limits import Audited, Start
from tests.reliability.programs import KILLED, api, dispatcher, worker
from tests.support.factories import make_subject
from tests.support.kills import ended, failpoint

CLIENTS = 20
SECONDS = 180.0


@pytest.mark.parametrize("point", failpoints.API)
def test_an_api_killed_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, key: str, audited: Audited,
    tmp_path: Path,
) -> None:  # fmt: skip
    subject = make_subject(begin, storage, project)
    port = free_port()
    send = partial(retry_storage, f"http://127.0.0.1:{port}/v1/subjects/{subject.id}/priors", key, "one-key")
    doomed = start(api(port, [failpoint(failpoints.API[point], tmp_path)]))
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [pool.submit(send) for _ in range(CLIENTS)]
        assert doomed.wait(60) == KILLED
        start(api(port))
        taken = [answer.result() for answer in answers]
    assert {answer.status_code for answer in taken} == {202}
    assert all(answer.json() == taken[0].json() for answer in taken)
    with begin() as session:
        (job,) = session.scalars(select(Job))
    assert taken[0].json()["id"] == job.id
    start(dispatcher())
    start(worker(["priors"]))
    assert ended(begin, job).state == State.SUCCEEDED
    audited()


def retry_storage(url: str, key: str, idempotency_key: str) -> httpx.Response:
    """Send it as a careful client does: again after a lost answer, and while another is in flight."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": idempotency_key}
    asked = {"parameters": {"steps": 5}}
    deadline = time.monotonic() + SECONDS
    while True:
        assert time.monotonic() < deadline
        try:
            answer = httpx.post(url, headers=headers, json=asked, timeout=20)
        except httpx.TransportError:
            time.sleep(0.5)
            continue
        if answer.status_code not in {409, 503}:
            return answer
        time.sleep(0.5)
