"""What the commands share that talk to a running service: where it is, how a job is shown, how a fault is said."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from client import Client, Image, Job, JobFailed, Problem, Progress

Url = Annotated[str, typer.Option(envvar="LIPE_URL", help="The service.")]
ApiKey = Annotated[str, typer.Option(envvar="LIPE_API_KEY", help="Better in the environment than here.")]
LOCAL = "http://127.0.0.1:8000"


@contextmanager
def service(url: str, api_key: str, console: Console) -> Iterator[Client]:
    """A client inside; a fault becomes exit status 1 and a line for each, in place of a traceback."""
    if not (api_key.isascii() and api_key.isprintable() and api_key):
        raise typer.BadParameter("give an API key: LIPE_API_KEY or --api-key")
    try:
        with Client(url, api_key) as lipe:
            yield lipe
            return
    except Problem as problem:
        faults = [f"{fault['param']}: {fault['detail']}" for fault in problem.body.get("errors", ())]
        lines = [f"{problem.code}: {line}" for line in faults or [problem.detail]]
    except JobFailed as failed:
        lines = [str(failed)]
    except (httpx.TransportError, httpx.InvalidURL) as error:
        lines = [f"cannot reach {url}: {error}"]
    except OSError as error:
        lines = [str(error)]
    for line in lines:
        console.print(line, style="red", markup=False, highlight=False)
    raise typer.Exit(1)


def settings(texts: Sequence[str] | None, option: str) -> dict[str, Any]:
    """["steps=20"] -> {"steps": 20}; a value that is no JSON is a text."""
    return dict(_setting(text, option) for text in texts or ())


def _setting(text: str, option: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{option} {text!r}: write name=value, such as steps=20")
    try:
        return name, json.loads(value, parse_constant=str)  # NaN is no JSON
    except ValueError:
        return name, value


@contextmanager
def uploaded(lipe: Client, files: Sequence[Path]) -> Iterator[list[Image]]:
    """The files as images of the service; where it refuses what they are for, they are not left there."""
    images: list[Image] = []
    try:
        for file in files:
            images.append(lipe.upload_image(file))
        yield images
    except Problem:
        for image in images:
            with suppress(Problem):  # a job whose answer was lost may use them
                lipe.delete_image(image)
        raise


def followed(
    lipe: Client, job: Job, console: Console, on_progress: Callable[[Progress], None] = lambda progress: None
) -> Job:
    """The job at its end, with a progress bar for each of its stages meanwhile."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Bars(*columns, console=console) as bars:
        waiting = bars.add_task("queued", total=None)
        stages = {"queued": waiting}

        def show(progress: Progress) -> None:
            on_progress(progress)
            if progress.stage is None:
                return
            bars.update(waiting, visible=False)
            if progress.stage not in stages:
                stages[progress.stage] = bars.add_task(progress.stage)
            bars.update(stages[progress.stage], completed=progress.step, total=progress.total)

        return lipe.wait(job, on_progress=show)
