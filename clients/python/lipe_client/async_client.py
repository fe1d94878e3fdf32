"""The client for asyncio, with the same operations as coroutines."""

from asyncio import sleep
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import httpx

from lipe_client import retries
from lipe_client.call import Call, ItemT, Listing, ResponseT, client_headers, path_of
from lipe_client.events import EventReader
from lipe_client.models import Job, Progress
from lipe_client.problems import JobFailed, Problem, raise_for_problem
from lipe_client.resources import Resources
from lipe_client.retries import Failure


class AsyncClient(Resources):
    """Client of a LIPE service for one API key and one event loop; close it, or use it in `async with`."""

    def __init__(self, base_url: str, api_key: str, *, timeout: float = 60.0) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers=client_headers(api_key),
            timeout=httpx.Timeout(timeout, connect=10),
        )
        self._signed = httpx.AsyncClient(timeout=timeout)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await self._signed.aclose()

    async def progress(self, job: Job | str, *, after: int = 0) -> AsyncIterator[Progress]:
        """Yield the job's events as they happen, each once, until the job ends. Broken connections are reopened.

        Raises Problem, and httpx.TransportError if the service stays unreachable.
        """
        reader, path = EventReader(after), path_of("jobs", job, "events")
        while not reader.is_done:
            failure: Failure | None = None
            try:
                async with self._http.stream("GET", path, **reader.request_options) as response:
                    if not response.is_success:
                        await response.aread()
                    reader.start(response)
                    async for line in response.aiter_lines():
                        if progress := reader.read(line):
                            yield progress
            except (Problem, httpx.TransportError) as error:
                failure = error
            if not reader.is_done:
                await sleep(reader.reconnect_delay(failure))

    async def wait(self, job: Job | str, *, on_progress: Callable[[Progress], None] = lambda progress: None) -> Job:
        """Wait until a job ends and return it. Raises JobFailed unless it succeeded."""
        async with aclosing(self.progress(job)) as events:  # type: ignore[type-var]
            async for progress in events:
                on_progress(progress)
        finished = await self.job(job)
        if finished.status != "succeeded":
            raise JobFailed(finished)
        return finished

    async def send(self, call: Call[ResponseT]) -> ResponseT:
        """Send a call and return its result. Failures that may pass are retried."""
        http, attempt = self._signed if call.is_signed else self._http, 0
        while True:
            try:
                response = await http.request(call.method, call.path, **call.options)
                raise_for_problem(response)
                break
            except (Problem, httpx.TransportError) as failure:
                await sleep(retries.retry_delay(attempt, failure))
            attempt += 1
        result = call.read(response.content)
        return await self.send(result) if isinstance(result, Call) else result

    async def rows(self, listing: Listing[ItemT]) -> AsyncIterator[ItemT]:
        """Yield all rows of a list, fetched page by page."""
        cursor = None
        while True:
            page = await self.send(listing.page(cursor))
            for row in page.rows:
                yield row
            if page.next is None:
                return
            cursor = page.next
