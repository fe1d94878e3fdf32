"""Server-sent events of a job, as they happen. A client that reconnects sends the number of its last event.

Replay and live events come from one query, "events after n", repeated several times a second while a client listens.
Of the progress events that a client missed, it gets the newest alone (see ledger/events.py). While the database is
unavailable the stream stays open and sends no events.
"""

from collections.abc import AsyncIterator
from typing import Any

from anyio import sleep
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.fields import Moment, ResponseModel
from api.previews import with_preview_url
from api.service import Service
from ledger import events, jobs
from ledger.database import UNAVAILABLE
from ledger.events import JobEvent
from ledger.states import TERMINAL

POLL_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 15
SEND_SECONDS = 30  # a client that reads nothing for so long is disconnected


class EventBody(ResponseModel):
    """The `data` of one event; `sequence` is its `id`, and `type` its `event`."""

    sequence: int
    """Number of the event, which increases within its job. Send it as `Last-Event-ID` to continue there."""

    type: str
    """Kind of job and event, such as `prior.running` or `edit.progress`."""

    at: Moment
    """Time of the event, in UTC."""

    data: dict[str, Any]
    """Facts about the event, such as `stage`, `step` and `total` of progress."""


class JobEvents(EventSourceResponse):
    """Sets the media type for OpenAPI."""

    media_type = "text/event-stream"


def stream(service: Service, project_id: str, job_id: str, after: int) -> JobEvents:
    """The events after number `after`, until the terminal one."""
    return JobEvents(_events(service, project_id, job_id, after), ping=KEEP_ALIVE_SECONDS, send_timeout=SEND_SECONDS)


async def _events(service: Service, project_id: str, job_id: str, after: int) -> AsyncIterator[ServerSentEvent]:
    while True:
        try:
            new_events, is_over = await run_in_threadpool(_after, service, project_id, job_id, after)
        except UNAVAILABLE:
            new_events, is_over = [], False  # the stream stays open, and the next query may succeed
        for event in new_events:
            data = with_preview_url(service, event.data)
            body = EventBody(sequence=event.sequence, type=event.type, at=event.at, data=data)
            yield ServerSentEvent(body.model_dump_json(), event=event.type, id=str(event.sequence))
            after = event.sequence
        if is_over:
            return
        await sleep(POLL_SECONDS)


def _after(service: Service, project_id: str, job_id: str, after: int) -> tuple[list[JobEvent], bool]:
    """The new events, and whether no more will follow because the job is over or erased."""
    with service.begin() as session:
        job = jobs.get(session, project_id, job_id)
        if job is None:
            return [], True
        if job.sequence <= after:
            return [], job.status in TERMINAL
        new_events = events.after(session, project_id, job_id, after)
        return jobs.events_after(session, job, new_events, after), job.status in TERMINAL
