"""Shared parts of the commands that use a running service: connection options, errors, uploads, progress bars."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBars

from cli.settings_file import find_variables
from lipe_client import Client, Image, Job, JobFailed, Problem, Progress

LOCAL_URL = "http://127.0.0.1:8000"
Url = Annotated[
    str | None, typer.Option(envvar="LIPE_URL", help=f"The service's URL. Default: {LOCAL_URL}.", show_default=False)
]
BaseModelOption = Annotated[
    str | None,
    typer.Option(help="Name or fingerprint of the base model, as `lipe status` prints it. Default: the service's."),
]
ApiKey = Annotated[str, typer.Option(envvar="LIPE_API_KEY", help="The API key. Prefer the environment variable.")]


class ServiceAccess(NamedTuple):
    """The URL of a service, and an API key (empty: none was found)."""

    url: str
    api_key: str


def find_service(url: str | None, api_key: str, data: Path | None) -> ServiceAccess:
    """The service of the data folder, or that of the options, or that of a `lipe up` in the default folder.

    A key from a folder is never sent to a URL from the options. Raises typer.BadParameter.
    """
    if data is None and (url or api_key):
        return ServiceAccess(url or LOCAL_URL, api_key)
    variables = find_variables(data, unless="LIPE_URL")
    return ServiceAccess(variables.get("LIPE_URL", LOCAL_URL), variables.get("LIPE_API_KEY", ""))


@contextmanager
def connect(url: str | None, api_key: str, console: Console, data: Path | None = None) -> Iterator[Client]:
    """A client for the block. An expected error in the block is printed in place of a traceback; exit status 1."""
    url, api_key = find_service(url, api_key, data)
    if not (api_key.isascii() and api_key.isprintable() and api_key):
        raise typer.BadParameter(
            "give an API key (--api-key, LIPE_API_KEY), or --data, the folder of a `lipe up`: none runs in ./data"
        )
    try:
        with Client(url, api_key) as lipe:
            yield lipe
            return
    except Problem as problem:
        errors = [f"{error['param']}: {error['detail']}" for error in problem.body.get("errors", ())]
        lines = [f"{problem.code}: {line}" for line in errors or [problem.detail]]
    except JobFailed as failed:
        lines = [str(failed)]
    except (httpx.TransportError, httpx.InvalidURL) as error:
        advice = "start it with `lipe up`, or name another with --url or --data"
        lines = [f"cannot reach {url} ({error}): {advice}"]
    except OSError as error:
        lines = [str(error)]
    for line in lines:
        console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def parse_parameters(texts: Sequence[str] | None, option: str) -> dict[str, Any]:
    """Convert ["steps=20"] to {"steps": 20}. A value that is not JSON is a string."""
    return dict(_parse_parameter(text, option) for text in texts or ())


def _parse_parameter(text: str, option: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{option} {text!r}: write name=value, such as steps=20")
    try:
        return name, json.loads(value, parse_constant=str)  # NaN is not JSON
    except ValueError:
        return name, value


def image_source(text: str) -> str:
    """The path of an existing file, or a URL, from the command line. Raises typer.BadParameter."""
    if not (_is_url(text) or Path(text).is_file()):
        raise typer.BadParameter(f"the file {text} does not exist: give the path or the URL of an image file")
    return text


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


@contextmanager
def uploaded_images(lipe: Client, files: Sequence[str]) -> Iterator[list[Image]]:
    """Upload files, given by path or URL, as images.

    If the service refuses a request in the block, the images are deleted again.
    """
    images: list[Image] = []
    try:
        for file in files:
            images.append(lipe.upload_image_from_url(file) if _is_url(file) else lipe.upload_image(file))
        yield images
    except Problem:
        for image in images:
            with suppress(Problem):  # a job whose response was lost may use the image
                lipe.delete_image(image)
        raise


def follow_job(
    lipe: Client, job: Job, console: Console, on_progress: Callable[[Progress], None] = lambda progress: None
) -> Job:
    """Wait until a job ends, with a progress bar for each of its stages, and return it."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with ProgressBars(*columns, console=console) as bars:
        queued = bars.add_task("queued", total=None)
        stages = {"queued": queued}

        def show(progress: Progress) -> None:
            on_progress(progress)
            for warning in progress.warnings:
                message = f"warning: {warning.message} ({warning.code})"
                console.print(message, style="yellow", markup=False, highlight=False)
            if progress.stage is None:
                return
            bars.update(queued, visible=False)
            if progress.stage not in stages:
                complete_stages()
                stages[progress.stage] = bars.add_task(progress.stage)
            bars.update(stages[progress.stage], completed=progress.step, total=progress.total)

        def complete_stages() -> None:
            """Fill the bars. The last progress event of a stage may be earlier than the end of the stage."""
            for task in bars.tasks:
                if task.total is not None:
                    bars.update(task.id, completed=task.total)

        finished = lipe.wait(job, on_progress=show)
        bars.update(queued, visible=False)
        complete_stages()
        return finished
