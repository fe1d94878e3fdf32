"""Server-sent events of a job, as they happen. A client that reconnects sends the number of its last event.

Replay and live events come from one question, "events after n", which `api.job_watch` answers for all streams at once.
Of the progress events that a client missed, it gets the newest alone (see ledger/events.py). While the database is
unavailable the stream stays open and sends no events.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api import problem_answers
from api.fields import Moment, ResponseModel
from api.job_watch import Position
from api.previews import with_preview_url
from api.problems import Problem
from api.service import Service, running_service

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
    """Sets the media type for OpenAPI, and answers with a problem if the project has too many streams."""

    media_type = "text/event-stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, which counts until it ends."""
        request = Request(scope)
        watch = running_service(request).job_watch
        with watch.stream(request.state.caller.project_id) as has_room:
            if has_room:
                await super().__call__(scope, receive, send)
                return
        detail = f"the project follows {watch.max_streams} jobs already: end a stream, or use webhooks"
        await problem_answers.answer(request, Problem("too_many_streams", detail))(scope, receive, send)


def stream(service: Service, position: Position) -> JobEvents:
    """The events after the position, until the terminal one."""
    return JobEvents(_events(service, position), ping=KEEP_ALIVE_SECONDS, send_timeout=SEND_SECONDS)


async def _events(service: Service, position: Position) -> AsyncIterator[ServerSentEvent]:
    while True:
        news = await service.job_watch.news(position)
        for event in news.events:
            data = with_preview_url(service, event.data)
            body = EventBody(sequence=event.sequence, type=event.type, at=event.at, data=data)
            yield ServerSentEvent(body.model_dump_json(), event=event.type, id=str(event.sequence))
            position = replace(position, after=event.sequence)
        if news.is_over:
            return
