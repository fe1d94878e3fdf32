"""The client that waits for its answers."""

import time
from collections.abc import Callable, Iterator

import httpx

from client import retries
from client.call import Answer, Call, Item, Listing, at
from client.events import Reader
from client.models import Job, Progress
from client.problems import JobFailed, Problem, raise_for_problem
from client.resources import Resources
from client.retries import Failure


class Client(Resources):
    """One project's view of a LIPE service. Safe to use from several threads; close it, or use it in `with`."""

    def __init__(self, base_url: str, api_key: str, *, timeout: float = 60.0) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(timeout, connect=10),
        )
        self._signed = httpx.Client(timeout=timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._signed.close()

    def progress(self, job: Job | str, *, after: int = 0) -> Iterator[Progress]:
        """The job's events as they happen, each once, to its end; a connection that breaks is made again.

        Raises Problem, and httpx.TransportError when the service is away for long.
        """
        reader, path = Reader(after), at("jobs", job, "events")
        while not reader.is_done:
            failure: Failure | None = None
            try:
                with self._http.stream("GET", path, **reader.request) as answer:
                    if not answer.is_success:
                        answer.read()
                    reader.connected(answer)
                    for line in answer.iter_lines():
                        if progress := reader.read(line):
                            yield progress
            except (Problem, httpx.TransportError) as error:
                failure = error
            if not reader.is_done:
                time.sleep(reader.pause(failure))

    def wait(self, job: Job | str, *, on_progress: Callable[[Progress], None] = lambda progress: None) -> Job:
        """Follow a job to its end. Raises JobFailed unless it succeeded."""
        for progress in self.progress(job):
            on_progress(progress)
        ended = self.job(job)
        if ended.status != "succeeded":
            raise JobFailed(ended)
        return ended

    def send(self, call: Call[Answer]) -> Answer:
        """The call's answer; sent again while that may help."""
        http, attempt = self._signed if call.is_signed else self._http, 0
        while True:
            try:
                answer = http.request(call.method, call.path, **call.request)
                raise_for_problem(answer)
                break
            except (Problem, httpx.TransportError) as failure:
                time.sleep(retries.pause(attempt, failure))
            attempt += 1
        result = call.read(answer.content)
        return self.send(result) if isinstance(result, Call) else result

    def rows(self, listing: Listing[Item]) -> Iterator[Item]:
        """All rows of a list, page after page."""
        cursor = None
        while True:
            page = self.send(listing.page(cursor))
            yield from page.rows
            if page.next is None:
                return
            cursor = page.next
