"""SIGKILL to the API while twenty clients send the same request: one job, and all clients finally receive its 202."""

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
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import KILLED, api, dispatcher, worker
from tests.support.factories import make_subject
from tests.support.kills import ended, failpoint
from tests.support.waiting import PATIENCE_SECONDS

CLIENTS = 20


@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=pytest.mark.slow if p != "after commit" else ()) for p in failpoints.API]
)
def test_an_api_killed_at(
    point: str, start: Start, begin: UnitOfWork, storage: Storage, project: Project, key: str, run_audit: RunAudit,
    tmp_path: Path,
) -> None:  # fmt: skip
    subject = make_subject(begin, storage, project)
    port = free_port()
    send = partial(post_with_retries, f"http://127.0.0.1:{port}/v1/subjects/{subject.id}/priors", key, "one-key")
    doomed = start(api(port, [failpoint(failpoints.API[point], tmp_path)]))
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [pool.submit(send) for _ in range(CLIENTS)]
        assert doomed.wait() == KILLED
        start(api(port))
        responses = [answer.result() for answer in answers]
    assert {answer.status_code for answer in responses} == {202}
    assert all(answer.json() == responses[0].json() for answer in responses)
    with begin() as session:
        (job,) = session.scalars(select(Job))
    assert responses[0].json()["id"] == job.id
    start(dispatcher())
    start(worker(["priors"]))
    assert ended(begin, job).state == State.SUCCEEDED
    run_audit()


def post_with_retries(url: str, key: str, idempotency_key: str) -> httpx.Response:
    """POST like a careful client: retry after a lost response and while another request is in flight."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": idempotency_key}
    body = {"parameters": {"steps": 5}}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < deadline
        try:
            answer = httpx.post(url, headers=headers, json=body, timeout=20)
        except httpx.TransportError:
            time.sleep(0.5)
            continue
        if answer.status_code not in {409, 503}:
            return answer
        time.sleep(0.5)
