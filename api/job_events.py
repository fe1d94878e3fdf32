"""A job's events as they happen (server-sent events), each with its number: a reader that was away says the last.

Replay and news are one query, "what came after n", asked several times a second while anybody listens. What is
missed of progress is its newest state alone (see ledger/events.py). An outage of the database is silence.
"""

from collections.abc import AsyncIterator
from typing import Any

from anyio import sleep
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.fields import Moment
from api.previews import shown
from api.service import Service
from ledger import events, jobs
from ledger.database import UNAVAILABLE
from ledger.events import JobEvent
from ledger.states import TERMINAL

POLL_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 15
SEND_SECONDS = 30  # a reader that takes nothing for so long is gone


class EventBody(BaseModel):
    """The `data` of one event; `sequence` is its `id`, `type` its `event`."""

    sequence: int
    type: str
    at: Moment
    data: dict[str, Any]


class JobEvents(EventSourceResponse):
    """Named, so that OpenAPI knows the media type."""

    media_type = "text/event-stream"


def stream(service: Service, project_id: str, job_id: str, after: int) -> JobEvents:
    """Everything after event number `after`, to the terminal event."""
    return JobEvents(_events(service, project_id, job_id, after), ping=KEEP_ALIVE_SECONDS, send_timeout=SEND_SECONDS)


async def _events(service: Service, project_id: str, job_id: str, after: int) -> AsyncIterator[ServerSentEvent]:
    while True:
        try:
            news, over = await run_in_threadpool(_after, service, project_id, job_id, after)
        except UNAVAILABLE:
            news, over = [], False  # the reader is kept alive, and the next question may be answered
        for event in news:
            data = shown(service, event.data)
            body = EventBody(sequence=event.sequence, type=event.type, at=event.at, data=data)
            yield ServerSentEvent(body.model_dump_json(), event=event.type, id=str(event.sequence))
            after = event.sequence
        if over:
            return
        await sleep(POLL_SECONDS)


def _after(service: Service, project_id: str, job_id: str, after: int) -> tuple[list[JobEvent], bool]:
    """The news, and whether none will follow: the job is over, or erased."""
    with service.begin() as session:
        job = jobs.get(session, project_id, job_id)
        if job is None:
            return [], True
        if job.sequence <= after:
            return [], job.status in TERMINAL
        news = events.after(session, project_id, job_id, after)
        return jobs.events_after(session, job, news, after), job.status in TERMINAL
