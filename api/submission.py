"""Submission of a job: commit it with its answer, notify a worker, then wait for it if the request prefers that.

A 202 means that the row is committed and on the disk. The answer does not depend on the notification: if the broker is
away, the dispatcher sends the outbox entry later.
"""

import re
import time
from asyncio import to_thread
from collections.abc import Callable
from functools import partial
from typing import Annotated

from anyio import sleep
from fastapi import Depends, Header
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from api.idempotency import IdempotentRequest, json_response
from api.job_body import JobBody
from api.quota import check_quotas
from ledger import jobs, outbox, quotas
from ledger.database import repeat_conflicts
from ledger.idempotency import Answer
from ledger.models import Job
from ledger.states import TERMINAL
from ledger.transitions import task

MAX_WAIT_SECONDS = 60
POLL_SECONDS = 0.25
JOB_PROBLEMS = (
    "not_found",
    "idempotency_key_in_flight",
    "webhook_url_forbidden",
    "idempotency_key_reused",
    "too_many_queued_jobs",
    "gpu_seconds_used_up",
)
"""Codes that every route that submits a job may answer with."""


async def _wait_seconds(
    prefer: Annotated[
        str | None,
        Header(
            description=f"`wait=n`: wait up to n <= {MAX_WAIT_SECONDS} seconds for the job to end. Default: answer at "
            "once. Give it if the caller can wait and needs no progress.",
        ),
    ] = None,
) -> int:
    """The seconds of `Prefer: wait=n` (RFC 7240). Unknown preferences are ignored; longer waits are cut."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", prefer or "", re.IGNORECASE)
    return min(int(found[1]), MAX_WAIT_SECONDS) if found else 0


WaitDep = Annotated[int, Depends(_wait_seconds)]


async def submit_job(idempotent: IdempotentRequest, create_job: Callable[[Session], Job], wait: int) -> Response:
    """202 with the job that `create_job` adds to the session. After `wait` seconds at most, its body is up to date."""
    service = idempotent.service
    async with service.submissions.turn(idempotent.project_id):
        answer, limits, job = await service.submitting(repeat_conflicts, partial(_commit, idempotent, create_job))
    if job is not None:  # outside the turn: the broker may not answer for seconds
        await service.submitting(outbox.publish_one, service.autocommit, service.notify, task(job), job.id)
    if not wait:
        return json_response(answer, limits)
    body = await _wait_for(idempotent, answer.body["id"], wait)
    headers = {**answer.headers, **limits, "Preference-Applied": f"wait={wait}"}
    return JSONResponse(body or answer.body, answer.status, headers)


def _commit(
    idempotent: IdempotentRequest, create_job: Callable[[Session], Job]
) -> tuple[Answer, dict[str, str], Job | None]:
    """The answer, the rate limit headers and the job. A repeated request gets the stored answer alone."""
    service, limits, job = idempotent.service, dict[str, str](), None
    with service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            job = create_job(session)
            job.traceparent = service.tracing.traceparent()
            limits = check_quotas(quotas.of_jobs(session, idempotent.project_id, service.settings))
            body = JobBody.of(service, job).model_dump(mode="json")
            answer = idempotent.remember(session, Answer(202, body, {"Location": f"/v1/jobs/{job.id}"}))
    return answer, limits, job


async def _wait_for(idempotent: IdempotentRequest, job_id: str, seconds: int) -> dict[str, object] | None:
    """The job as soon as it has ended, or its state after `seconds`; None if it was erased meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        body = await to_thread(_read, idempotent, job_id)
        if body is None or body.status in TERMINAL or time.monotonic() >= deadline:
            return body.model_dump(mode="json") if body else None
        await sleep(POLL_SECONDS)


def _read(idempotent: IdempotentRequest, job_id: str) -> JobBody | None:
    with idempotent.service.begin() as session:
        job = jobs.get(session, idempotent.project_id, job_id)
        return JobBody.of(idempotent.service, job) if job else None
