"""`lipe jobs`, `lipe cancel` and `lipe retry`: the jobs of a running service."""

import itertools
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from cli.service import ApiKey, Url, connect
from cli.settings_file import Data
from cli.whole_table import print_whole
from lipe_client import Job, Kind, Status

JobId = Annotated[str, typer.Argument(help="The job's id, as `lipe jobs` shows it.")]


def jobs(
    status: Annotated[Status | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only trainings (prior) or edits (edit).")] = None,
    limit: Annotated[int, typer.Option(help="The largest number of jobs.", min=1, max=10_000)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for scripts.")] = False,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """List the project's jobs, newest first."""
    with connect(url, api_key, Console(stderr=True), data) as lipe:
        found = list(itertools.islice(lipe.jobs(status=status, kind=kind), limit))
    if as_json:
        for job in found:
            print(job.model_dump_json())
        return
    widths = {"id": 36, "kind": 5, "status": 9, "created (UTC)": 13}
    columns = [Column(name, no_wrap=True, min_width=width) for name, width in widths.items()]
    table = Table(*columns, "details", box=None, pad_edge=False)
    for job in found:
        table.add_row(job.id, job.kind, job.status, f"{job.created_at:%m-%d %H:%M}", Text(describe(job)))
    if found:
        print_whole(table)
    else:
        Console(stderr=True).print("there is no such job" if status or kind else "there is no job yet", highlight=False)


def cancel(
    job: JobId,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Cancel a job: at once if it is queued, at its next step if it runs."""
    with connect(url, api_key, Console(stderr=True), data) as lipe:
        answer = lipe.cancel(job)
    if answer.status == "canceled":
        print(f"{answer.id} is canceled")
    elif answer.is_over:
        print(f"{answer.id} has already ended: {answer.status}")
        raise typer.Exit(1)
    else:
        print(f"{answer.id} stops at its next step")


def retry(
    job: JobId,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Create a new job with the parameters of one that failed, was canceled or expired. Prints its id."""
    with connect(url, api_key, Console(stderr=True), data) as lipe:
        print(lipe.retry(job).id)


def describe(job: Job) -> str:
    """The step of a running job, the reason why a job waits, or its error."""
    if job.waiting:
        place = f" (number {job.waiting.position} of its kind)" if job.waiting.position else ""
        return f"waits: {job.waiting.reason.replace('_', ' ')}{place}"
    if job.error:
        return f"{job.error.code}: {job.error.detail}"
    if job.status == "running" and job.progress:
        left = f", about {job.progress.eta_seconds:.0f} s left" if job.progress.eta_seconds is not None else ""
        return f"{job.progress.stage} {job.progress.step}/{job.progress.total}{left}"
    if job.started_at and job.finished_at:
        return f"ran {(job.finished_at - job.started_at).total_seconds():.0f} s"
    return ""
