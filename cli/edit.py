"""`lipe edit`: one picture to a running service, the edited pictures back as files."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from client import Client, Image, Job, JobFailed, Method, Problem, Progress


def edit(
    image: Annotated[Path, typer.Argument(help="The picture: JPEG, PNG or WebP.", exists=True, dir_okay=False)],
    prompt: Annotated[list[str], typer.Option(help='What it shall show: "a photo of sks dog jumping". Repeatable.')],
    subject: Annotated[str | None, typer.Option(help="The subject's id; its newest prior is used.")] = None,
    prior: Annotated[str | None, typer.Option(help="One prior's id, in place of --subject.")] = None,
    method: Annotated[Method, typer.Option(help="nima is LIPE's own, the others are its rivals.")] = "nima",
    use_prior: Annotated[
        bool, typer.Option("--use-prior/--no-prior", help="--no-prior: the base model alone; it needs --subject.")
    ] = True,
    parameter: Annotated[
        list[str] | None, typer.Option(help="A setting of the method: steps=20. Repeatable; /docs lists them.")
    ] = None,
    source_prompt: Annotated[str | None, typer.Option(help="What the picture shows now.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="A picture that is white where it may change.", exists=True, dir_okay=False)
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="One picture for each. Repeatable.", min=0)] = None,
    out: Annotated[Path, typer.Option(help="The folder for the results.", file_okay=False)] = Path("out"),
    url: Annotated[str, typer.Option(envvar="LIPE_URL", help="The service.")] = "http://127.0.0.1:8000",
    api_key: Annotated[str, typer.Option(envvar="LIPE_API_KEY", help="Better in the environment than here.")] = "",
) -> None:
    """Edit a picture with a learnt subject; print the paths of the results, one for each prompt and seed."""
    if (subject is None) == (prior is None):
        raise typer.BadParameter("give either --subject or --prior")
    if not use_prior and (prior is not None or method == "dreamctrl"):
        raise typer.BadParameter("--no-prior needs --subject, and another --method than dreamctrl")
    if not (api_key.isascii() and api_key.isprintable() and api_key):
        raise typer.BadParameter("give an API key: LIPE_API_KEY or --api-key")
    parameters = dict(_parameter(text) for text in parameter or [])
    console = Console(stderr=True)
    with _explained(console, url), Client(url, api_key) as lipe:
        with _uploaded(lipe, [image, *([mask] if mask else [])]) as pictures:
            job = lipe.edit(
                subject=subject,
                prior=prior,
                image=pictures[0],
                mask=pictures[1] if mask else None,
                prompts=prompt,
                source_prompt=source_prompt,
                method=method,
                use_prior=use_prior,
                parameters=parameters,
                seeds=seed,
            )
        console.print(f"job {job.id}", highlight=False)
        results = lipe.results(_followed(lipe, job, console))
        out.mkdir(parents=True, exist_ok=True)
        for number, result in enumerate(results, start=1):
            print(lipe.download(result.image, out / f"{job.edit_id}-{number}.png"))


def _parameter(text: str) -> tuple[str, Any]:
    """ "steps=20" -> ("steps", 20); a value that is no JSON is a text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"--parameter {text!r}: write name=value, such as steps=20")
    try:
        return name, json.loads(value, parse_constant=str)  # NaN is no JSON
    except ValueError:
        return name, value


@contextmanager
def _uploaded(lipe: Client, files: Sequence[Path]) -> Iterator[list[Image]]:
    """The files as images of the service; what it refuses to edit is not left there."""
    images: list[Image] = []
    try:
        for file in files:
            images.append(lipe.upload_image(file))
        yield images
    except Problem:
        with suppress(Problem):  # an edit whose answer was lost may use them
            for image in images:
                lipe.delete_image(image.id)
        raise


def _followed(lipe: Client, job: Job, console: Console) -> Job:
    """The job at its end, with a progress bar for each of its stages meanwhile."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Bars(*columns, console=console) as bars:
        waiting = bars.add_task("queued", total=None)
        stages = {"queued": waiting}

        def show(progress: Progress) -> None:
            if progress.stage is None:
                return
            bars.update(waiting, visible=False)
            if progress.stage not in stages:
                stages[progress.stage] = bars.add_task(progress.stage)
            bars.update(stages[progress.stage], completed=progress.step, total=progress.total)

        return lipe.wait(job, on_progress=show)


@contextmanager
def _explained(console: Console, url: str) -> Iterator[None]:
    """Exit status 1, and one line for each fault, in place of a traceback."""
    try:
        yield
    except Problem as problem:
        faults = [f"{fault['param']}: {fault['detail']}" for fault in problem.body.get("errors", ())]
        lines = [f"{problem.code}: {line}" for line in faults or [problem.detail]]
    except JobFailed as failed:
        lines = [str(failed)]
    except (httpx.TransportError, httpx.InvalidURL) as error:
        lines = [f"cannot reach {url}: {error}"]
    except OSError as error:
        lines = [str(error)]
    else:
        return
    for line in lines:
        console.print(line, style="red", markup=False, highlight=False)
    raise typer.Exit(1)
