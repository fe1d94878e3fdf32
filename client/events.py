"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), over connections that break."""

import json
import time
from collections.abc import Iterable, Iterator

import httpx

from client.models import Progress
from client.problems import Problem, raise_for_problem

SILENCE_SECONDS = 45.0  # the service says something at least every 15
RECONNECT_SECONDS = 1.0
FRUITLESS = 10
"""So many connections in a row without an event, and the break is the caller's to know."""


def follow(http: httpx.Client, path: str, after: int) -> Iterator[Progress]:
    """Every event above number `after`, once, to the last. Raises Problem, or httpx.TransportError after a while."""
    fruitless = 0
    while True:
        try:
            with http.stream(
                "GET",
                path,
                headers={"Accept": "text/event-stream", "Last-Event-ID": str(after)},
                timeout=httpx.Timeout(10, read=SILENCE_SECONDS),
            ) as answer:
                if not answer.is_success:
                    answer.read()
                raise_for_problem(answer)
                if answer.status_code == httpx.codes.NO_CONTENT:
                    return
                for data in parse(answer.iter_lines()):
                    progress = Progress.model_validate(json.loads(data))
                    after, fruitless = progress.sequence, 0
                    yield progress
                    if progress.is_last:
                        return
        except Problem as problem:
            if not problem.retryable or fruitless >= FRUITLESS:
                raise
        except httpx.TransportError:
            if fruitless >= FRUITLESS:
                raise
        fruitless += 1
        time.sleep(RECONNECT_SECONDS)


def parse(lines: Iterable[str]) -> Iterator[str]:
    """The data of each whole event; comments and the other fields are passed over."""
    data: list[str] = []
    for line in lines:
        if not line and data:
            yield "\n".join(data)
            data = []
        elif line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
