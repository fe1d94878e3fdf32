"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), over connections that break."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from client.models import Progress
from client.problems import Problem, raise_for_problem
from client.retries import Failure

SILENCE_SECONDS = 45.0  # the service says something at least every 15
RECONNECT_SECONDS = 1.0
FRUITLESS = 10
"""So many connections in a row without an event, and the break is the caller's to know."""


@dataclass
class Reader:
    """Where one reader is in a job's events: `after` is the last that it has seen. Each event is seen once."""

    after: int = 0
    is_done: bool = False
    _fruitless: int = 0
    _data: list[str] = field(default_factory=list)

    @property
    def request(self) -> dict[str, Any]:
        """What to connect with: the service goes on behind the last event."""
        return {
            "headers": {"Accept": "text/event-stream", "Last-Event-ID": str(self.after)},
            "timeout": httpx.Timeout(10, read=SILENCE_SECONDS),
        }

    def connected(self, answer: httpx.Response) -> None:
        """A stream begins, or there is nothing more. Raises Problem; the body of a refusal must have been read."""
        raise_for_problem(answer)
        self._data = []  # an event that was cut off comes again, whole
        self.is_done = answer.status_code == httpx.codes.NO_CONTENT

    def read(self, line: str) -> Progress | None:
        """The event that this line ends, if it ends a new one. Comments and other fields are passed over."""
        if line.startswith("data:"):
            self._data.append(line.removeprefix("data:").removeprefix(" "))
        if line or not self._data:
            return None
        progress = Progress.model_validate(json.loads("\n".join(self._data)))
        self._data = []
        if progress.sequence <= self.after:
            return None
        self.after, self._fruitless, self.is_done = progress.sequence, 0, progress.is_last
        return progress

    def pause(self, failure: Failure | None) -> float:
        """Seconds until the next connection, after one that failed or just ended. Raises what will not pass."""
        self._fruitless += 1
        if isinstance(failure, Problem) and not failure.retryable:
            raise failure
        if self._fruitless > FRUITLESS:
            raise failure or httpx.RemoteProtocolError("the events end again and again before the job is over")
        return RECONNECT_SECONDS
