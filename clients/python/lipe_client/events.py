"""Reading of a job's server-sent events, across connections that break.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from lipe_client.models import Progress
from lipe_client.problems import Problem, raise_for_problem
from lipe_client.retries import Failure

READ_TIMEOUT_SECONDS = 45.0  # the service sends an event or a comment at least every 15 seconds
RECONNECT_SECONDS = 1.0
MAX_EMPTY_CONNECTIONS = 10
"""After this many connections in a row without a new event the reader raises the failure."""


@dataclass
class EventReader:
    """The position of one reader in a job's events. It returns each event after number `after` once."""

    after: int = 0
    is_done: bool = False
    _empty_connections: int = 0
    _data: list[str] = field(default_factory=list)

    @property
    def request_options(self) -> dict[str, Any]:
        """The options of the next request, which asks for the events after the last one read."""
        return {
            "headers": {"Accept": "text/event-stream", "Last-Event-ID": str(self.after)},
            "timeout": httpx.Timeout(10, read=READ_TIMEOUT_SECONDS),
        }

    def start(self, response: httpx.Response) -> None:
        """Begin a stream, or set `is_done` if there are no more events.

        Raises Problem for a refusal, whose body must have been read.
        """
        raise_for_problem(response)
        self._data = []  # the service sends an event that was cut off again, from its beginning
        self.is_done = response.status_code == httpx.codes.NO_CONTENT

    def read(self, line: str) -> Progress | None:
        """The event that this line completes, if it is a new one. Comments and other fields are ignored."""
        if line.startswith("data:"):
            self._data.append(line.removeprefix("data:").removeprefix(" "))
        if line or not self._data:
            return None
        progress = Progress.model_validate(json.loads("\n".join(self._data)))
        self._data = []
        if progress.sequence <= self.after:
            return None
        self.after, self._empty_connections, self.is_done = progress.sequence, 0, progress.is_last
        return progress

    def reconnect_delay(self, failure: Failure | None) -> float:
        """Seconds until the next connection, after one that failed or ended early.

        Raises a failure that a retry cannot mend, and any failure after MAX_EMPTY_CONNECTIONS.
        """
        self._empty_connections += 1
        if isinstance(failure, Problem) and not failure.retryable:
            raise failure
        if self._empty_connections > MAX_EMPTY_CONNECTIONS:
            raise failure or httpx.RemoteProtocolError("the event stream keeps ending before the job is over")
        return RECONNECT_SECONDS
