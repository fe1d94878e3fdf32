"""The same calls for asyncio: from references to files, several at a time, over breaks."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from client import AsyncClient, Client, JobFailed, Problem, call, events, retries
from client.operations import listing, verb
from client.resources import Resources
from ledger.models import Project
from tests.support.api_fixtures import NewKey
from tests.support.uploads import png

Work = Callable[..., None]
Opened = Callable[[], Any]


@pytest.fixture
def opened(server: str, project: Project, new_key: NewKey) -> Opened:
    """`async with opened() as lipe`."""
    key = new_key(project)

    @asynccontextmanager
    async def open_client() -> AsyncIterator[AsyncClient]:
        async with AsyncClient(server, key) as lipe:
            yield lipe

    return open_client


def test_both_clients_have_every_call() -> None:
    calls = {name for name in dir(Resources) if isinstance(getattr(Resources, name), verb | listing)}
    assert len(calls) > 25
    own = {"progress", "wait", "close", "send", "rows"}
    for client in (Client, AsyncClient):
        assert {name for name in dir(client) if not name.startswith("_")} == calls | own
        assert all(getattr(client, name).__doc__ for name in calls)


def test_from_references_to_files(opened: Opened, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "LARGEST_PAGE", 2)

    async def journey() -> None:
        async with opened() as lipe:
            uploads = [lipe.upload_image(png("red"))]
            uploads += [lipe.upload_image_presigned(png(colour)) for colour in ("green", "blue")]
            rex = await lipe.create_subject(name="Rex", class_noun="dog", references=await asyncio.gather(*uploads))
            job = await lipe.train_prior(rex)
            worker = threading.Thread(target=work, args=(job.id,))
            worker.start()
            seen: list[str] = []
            ended = await lipe.wait(job, on_progress=lambda progress: seen.append(progress.type))
            worker.join()
            assert seen == ["prior.queued", "prior.running", "prior.succeeded"]
            prior = await lipe.prior(ended.prior_id or "")
            file = await lipe.download(prior.artefacts[0], tmp_path / "adapter")
            assert file.read_bytes() == b"adapter"
            assert len([image async for image in lipe.images()]) == 3
            assert [found.id async for found in lipe.subjects()] == [rex.id]

    asyncio.run(journey())


def test_refusals_and_failures(opened: Opened) -> None:
    async def refused(lipe: AsyncClient) -> None:
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

    asyncio.run(_with(opened, refused))


def test_answers_and_events_that_were_lost_come_again(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(events, "RECONNECT_SECONDS", 0.01)

    async def lossy(lipe: AsyncClient) -> None:
        references = [await lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
        rex = await lipe.create_subject(name="Rex", class_noun="dog", references=references)
        real, ids = lipe._http.request, []

        async def losing(*request: Any, **options: Any) -> httpx.Response:
            answer = await real(*request, **options)
            ids.append(answer.json()["id"])
            if len(ids) < 3:
                raise httpx.ReadError("the answer was lost")
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(lipe._http, "request", losing)
            job = await lipe.train_prior(rex)
        assert ids == [job.id] * 3

        read, lines = events.Reader.read, []

        def broken(reader: events.Reader, line: str) -> Any:
            lines.append(line)
            if len(lines) % 7 == 0:
                raise httpx.ReadError("the connection broke")
            return read(reader, line)

        await lipe.cancel(job)
        with monkeypatch.context() as patch:
            patch.setattr(events.Reader, "read", broken)
            seen = [progress.sequence async for progress in lipe.progress(job)]
        assert (seen, len(lines)) == ([1, 2], 11)  # broken within the second event, which came again

    asyncio.run(_with(opened, lossy))


async def _with(opened: Opened, act: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async with opened() as lipe:
        await act(lipe)
