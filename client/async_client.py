"""The client for asyncio: the same calls, awaited."""

from asyncio import sleep
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import httpx

from client import retries
from client.call import Answer, Call, Item, Listing, at
from client.events import Reader
from client.models import Job, Progress
from client.problems import JobFailed, Problem, raise_for_problem
from client.resources import Resources
from client.retries import Failure


class AsyncClient(Resources):
    """One project's view of a LIPE service, in one event loop; close it, or use it in `async with`."""

    def __init__(self, base_url: str, api_key: str, *, timeout: float = 60.0) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
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
        """The job's events as they happen, each once, to its end; a connection that breaks is made again.

        Raises Problem, and httpx.TransportError when the service is away for long.
        """
        reader, path = Reader(after), at("jobs", job, "events")
        while not reader.is_done:
            failure: Failure | None = None
            try:
                async with self._http.stream("GET", path, **reader.request) as answer:
                    if not answer.is_success:
                        await answer.aread()
                    reader.connected(answer)
                    async for line in answer.aiter_lines():
                        if progress := reader.read(line):
                            yield progress
            except (Problem, httpx.TransportError) as error:
                failure = error
            if not reader.is_done:
                await sleep(reader.pause(failure))

    async def wait(self, job: Job | str, *, on_progress: Callable[[Progress], None] = lambda progress: None) -> Job:
        """Follow a job to its end. Raises JobFailed unless it succeeded."""
        async with aclosing(self.progress(job)) as events:  # type: ignore[type-var]
            async for progress in events:
                on_progress(progress)
        ended = await self.job(job)
        if ended.status != "succeeded":
            raise JobFailed(ended)
        return ended

    async def send(self, call: Call[Answer]) -> Answer:
        """The call's answer; sent again while that may help."""
        http, attempt = self._signed if call.is_signed else self._http, 0
        while True:
            try:
                answer = await http.request(call.method, call.path, **call.request)
                raise_for_problem(answer)
                break
            except (Problem, httpx.TransportError) as failure:
                await sleep(retries.pause(attempt, failure))
            attempt += 1
        result = call.read(answer.content)
        return await self.send(result) if isinstance(result, Call) else result

    async def rows(self, listing: Listing[Item]) -> AsyncIterator[Item]:
        """All rows of a list, page after page."""
        cursor = None
        while True:
            page = await self.send(listing.page(cursor))
            for row in page.rows:
                yield row
            if page.next is None:
                return
            cursor = page.next
