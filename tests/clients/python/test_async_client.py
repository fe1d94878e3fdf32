"""The asyncio client against a real server: operations, events, retries, refusals and failures."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.models import Project
from lipe_client import AsyncClient, Client, JobFailed, Problem, call, events, retries
from lipe_client.operations import list_operation, operation
from lipe_client.resources import Resources
from tests.support.api_fixtures import NewKey
from tests.support.uploads import png

Work = Callable[..., None]
OpenClient = Callable[[], Any]


@pytest.fixture
def open_client(server: str, project: Project, new_key: NewKey) -> OpenClient:
    """Opens a client: `async with open_client() as lipe`."""
    key = new_key(project)

    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncClient]:
        async with AsyncClient(server, key) as lipe:
            yield lipe

    return opened


def test_both_clients_have_every_operation() -> None:
    operations = {name for name in dir(Resources) if isinstance(getattr(Resources, name), operation | list_operation)}
    assert len(operations) > 25
    own = {"progress", "wait", "close", "send", "rows"}
    for client in (Client, AsyncClient):
        assert {name for name in dir(client) if not name.startswith("_")} == operations | own
        assert all(getattr(client, name).__doc__ for name in operations)


def test_from_references_to_files(
    open_client: OpenClient, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "PAGE_SIZE", 2)

    async def run() -> None:
        async with open_client() as lipe:
            uploads = [lipe.upload_image(png("red"))]
            uploads += [lipe.upload_image_presigned(png(colour)) for colour in ("green", "blue")]
            rex = await lipe.create_subject(name="Rex", class_noun="dog", references=await asyncio.gather(*uploads))
            job = await lipe.train_prior(rex)
            worker = threading.Thread(target=work, args=(job.id,))
            worker.start()
            seen: list[str] = []
            finished = await lipe.wait(job, on_progress=lambda progress: seen.append(progress.type))
            worker.join()
            assert seen == ["prior.queued", "prior.running", "prior.succeeded"]
            prior = await lipe.prior(finished.prior_id or "")
            file = await lipe.download(prior.artefacts[0], tmp_path / "adapter")
            assert file.read_bytes() == b"adapter"
            assert len([image async for image in lipe.images()]) == 3
            assert [found.id async for found in lipe.subjects()] == [rex.id]

    asyncio.run(run())


def test_refusals_and_failures(open_client: OpenClient) -> None:
    async def check(lipe: AsyncClient) -> None:
        with pytest.raises(Problem, match="not_found"):
            await lipe.subject("sub_unknown")
        with pytest.raises(Problem, match="not_found"):
            async for _ in lipe.progress("job_unknown"):
                pass
        references = [await lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
        rex = await lipe.create_subject(name="Rex", class_noun="dog", references=references)
        job = await lipe.cancel(await lipe.train_prior(rex))
        with pytest.raises(JobFailed, match="canceled"):
            await lipe.wait(job)
        assert [progress.type async for progress in lipe.progress(job, after=2)] == []

    asyncio.run(_run_with(open_client, check))


def test_lost_responses_and_events_are_requested_again(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(events, "RECONNECT_SECONDS", 0.01)

    async def check(lipe: AsyncClient) -> None:
        references = [await lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
        rex = await lipe.create_subject(name="Rex", class_noun="dog", references=references)
        real, ids = lipe._http.request, []

        async def lose_response(*request: Any, **options: Any) -> httpx.Response:
            response = await real(*request, **options)
            ids.append(response.json()["id"])
            if len(ids) < 3:
                raise httpx.ReadError("the response was lost")
            return response

        with monkeypatch.context() as patch:
            patch.setattr(lipe._http, "request", lose_response)
            job = await lipe.train_prior(rex)
        assert ids == [job.id] * 3

        read, lines = events.EventReader.read, []

        def break_connection(reader: events.EventReader, line: str) -> Any:
            lines.append(line)
            if len(lines) % 7 == 0:
                raise httpx.ReadError("the connection broke")
            return read(reader, line)

        await lipe.cancel(job)
        with monkeypatch.context() as patch:
            patch.setattr(events.EventReader, "read", break_connection)
            seen = [progress.sequence async for progress in lipe.progress(job)]
        assert (seen, len(lines)) == ([1, 2], 11)  # the connection broke within the second event, which was sent again

    asyncio.run(_run_with(open_client, check))


async def _run_with(open_client: OpenClient, act: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async with open_client() as lipe:
        await act(lipe)
