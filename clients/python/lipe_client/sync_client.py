"""The synchronous client."""

import time
from collections.abc import Callable, Iterator

import httpx

from lipe_client import retries
from lipe_client.call import Call, ItemT, Listing, ResponseT, client_headers, path_of
from lipe_client.events import EventReader
from lipe_client.models import Job, Progress
from lipe_client.problems import JobFailed, Problem, raise_for_problem
from lipe_client.resources import Resources
from lipe_client.retries import Failure


class Client(Resources):
    """Client of a LIPE service for one API key. It is thread-safe; close it, or use it in `with`."""

    def __init__(self, base_url: str, api_key: str, *, timeout: float = 60.0) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers=client_headers(api_key),
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
        """Yield the job's events as they happen, each once, until the job ends. Broken connections are reopened.

        Raises Problem, and httpx.TransportError if the service stays unreachable.
        """
        reader, path = EventReader(after), path_of("jobs", job, "events")
        while not reader.is_done:
            failure: Failure | None = None
            try:
                with self._http.stream("GET", path, **reader.request_options) as response:
                    if not response.is_success:
                        response.read()
                    reader.start(response)
                    for line in response.iter_lines():
                        if progress := reader.read(line):
                            yield progress
            except (Problem, httpx.TransportError) as error:
                failure = error
            if not reader.is_done:
                time.sleep(reader.reconnect_delay(failure))

    def wait(self, job: Job | str, *, on_progress: Callable[[Progress], None] = lambda progress: None) -> Job:
        """Wait until a job ends and return it. Raises JobFailed unless it succeeded."""
        for progress in self.progress(job):
            on_progress(progress)
        finished = self.job(job)
        if finished.status != "succeeded":
            raise JobFailed(finished)
        return finished

    def send(self, call: Call[ResponseT]) -> ResponseT:
        """Send a call and return its result. Failures that may pass are retried."""
        http, attempt = self._signed if call.is_signed else self._http, 0
        while True:
            try:
                response = http.request(call.method, call.path, **call.options)
                raise_for_problem(response)
                break
            except (Problem, httpx.TransportError) as failure:
                time.sleep(retries.retry_delay(attempt, failure))
            attempt += 1
        result = call.read(response.content)
        return self.send(result) if isinstance(result, Call) else result

    def rows(self, listing: Listing[ItemT]) -> Iterator[ItemT]:
        """Yield all rows of a list, fetched page by page."""
        cursor = None
        while True:
            page = self.send(listing.page(cursor))
            yield from page.rows
            if page.next is None:
                return
            cursor = page.next
