"""Taking a job: committed with its idempotent answer, then announced, then (`Prefer: wait=n`) waited for.

A 202 means that the row is committed. Whether the doorbell could be rung does not matter: the outbox
holds it.
"""

import re
import time
from asyncio import to_thread
from collections.abc import Callable, Sequence
from typing import Annotated

from anyio import sleep
from fastapi import Depends, Header
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from api.idempotency import Once
from api.job_body import JobBody
from api.quota import admit
from api.service import Service
from ledger import jobs, outbox, quotas
from ledger.idempotency import Answer
from ledger.models import Job
from ledger.states import TERMINAL
from ledger.transitions import task

LONGEST_WAIT = 60
POLL_SECONDS = 0.25
REFUSALS = (
    "not_found",
    "idempotency_key_in_flight",
    "webhook_url_forbidden",
    "idempotency_key_reused",
    "too_many_queued_jobs",
    "gpu_seconds_used_up",
)
"""What every route that makes a job may answer."""


async def _wait(
    prefer: Annotated[
        str | None, Header(description=f"`wait=n`: hold the answer until the job ends, n <= {LONGEST_WAIT} seconds.")
    ] = None,
) -> int:
    """RFC 7240: what cannot be understood is ignored; what is too long is cut."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", prefer or "", re.IGNORECASE)
    return min(int(found[1]), LONGEST_WAIT) if found else 0


Waiting = Annotated[int, Depends(_wait)]


async def submitted(once: Once, make: Callable[[Session], Job], wait: int) -> Response:
    """202 with the job that `make` writes, and where to follow it."""

    limits: dict[str, str] = {}
    made: list[Job] = []

    def create(session: Session) -> Answer:
        job = make(session)
        made.append(job)
        limits.update(admit(quotas.of_jobs(session, once.project_id, once.service.settings)))
        return Answer(202, JobBody.of(once.service, job).model_dump(mode="json"), {"Location": f"/v1/jobs/{job.id}"})

    def accept() -> Answer:
        answer = once(create)
        announce(once.service, made)
        return answer

    answer = await once.service.submitting(accept)
    if not wait:
        return JSONResponse(answer.body, answer.status, answer.headers | limits)
    body = await _waited(once, answer.body["id"], wait)
    headers = {**answer.headers, **limits, "Preference-Applied": f"wait={wait}"}
    return JSONResponse(body or answer.body, answer.status, headers)


def announce(service: Service, made: Sequence[Job]) -> None:
    """Notify the workers of a job that was just made."""
    for job in made:
        outbox.publish_one(service.look, service.ring, task(job), job.id)


async def _waited(once: Once, job_id: str, seconds: int) -> dict[str, object] | None:
    """The job when it ended, or as it stands after so many seconds; None if it was erased meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        body = await to_thread(_read, once, job_id)
        if body is None or body.status in TERMINAL or time.monotonic() >= deadline:
            return body.model_dump(mode="json") if body else None
        await sleep(POLL_SECONDS)


def _read(once: Once, job_id: str) -> JobBody | None:
    with once.service.begin() as session:
        job = jobs.get(session, once.project_id, job_id)
        return JobBody.of(once.service, job) if job else None
