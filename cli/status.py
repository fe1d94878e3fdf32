"""`lipe status`: whether a service runs, where, with which base models, and what it does."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from cli.embedded.data_folder import disk_usage, programs
from cli.service import ApiKey, Url, connect, find_service
from cli.settings_file import DEFAULT_DATA, NAME, Data
from lipe_client import Client, ServedModel

NOT_READY = 1
KINDS = {"prior": "priors", "edit": "edits", "captions": "captions", "mask": "masks"}


@dataclass(frozen=True)
class Status:
    """The content of the report: `servers` of the API and whether they answer, `programs` and whether they run."""

    url: str
    servers: dict[str, bool]
    models: list[dict[str, Any]]
    queued: int
    running: int
    folder: str | None
    programs: dict[str, bool]
    used_bytes: int | None
    free_bytes: int | None
    since: str | None

    @property
    def faults(self) -> list[str]:
        """Each fault, with its effect or what to do."""
        folder = f" --data {self.folder}" if self.folder != str(DEFAULT_DATA) else ""
        faults = [
            f"{name} does not answer: jobs wait until it does" for name, answers in self.servers.items() if not answers
        ]
        faults += [
            f"{name} does not run: see `lipe logs {name}{folder}`" for name, runs in self.programs.items() if not runs
        ]
        if not self.models:
            faults.append("no worker has loaded a base model yet: jobs wait until one has")
        return faults


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")] = False,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Show whether a service runs, where, its base models and workers, its jobs and its disk space.

    Exit status: 0 all is well, 1 something does not work or nothing answers.
    """
    console = Console(stderr=True)
    with connect(url, api_key, console, data) as lipe:
        found = read_status(lipe, find_service(url, api_key, data).url, _folder_of(url, data))
    if as_json:
        print(json.dumps(asdict(found) | {"faults": found.faults}, indent=2))
    else:
        for line in describe(found, datetime.now(UTC)):
            print(line)
    if found.faults:
        raise typer.Exit(NOT_READY)


def read_status(lipe: Client, url: str, folder: Path | None) -> Status:
    """Ask the service, and look into the data folder if it is on this machine. Raises as the client does."""
    servers = _servers(url)  # first: it is not retried, so that a service that is down is reported at once
    models = [_model(model) for model in lipe.models()]
    queued, running = (sum(1 for _ in lipe.jobs(status=state)) for state in ("queued", "running"))
    found = programs(folder) if folder else []
    used, free = disk_usage(folder) if folder else (None, None)
    starts = [program.since for program in found if program.since]
    return Status(
        url=url,
        servers=servers,
        models=models,
        queued=queued,
        running=running,
        folder=str(folder) if folder else None,
        programs={program.name: program.is_running for program in found},
        used_bytes=used,
        free_bytes=free,
        since=min(starts).isoformat() if starts else None,
    )


def describe(found: Status, present: datetime) -> list[str]:
    """The lines of a report for a person."""
    lines = [f"LIPE runs at {found.url}"]
    if found.since:
        since = datetime.fromisoformat(found.since)
        lines.append(f"up since    {since:%Y-%m-%d %H:%M} UTC ({_duration((present - since).total_seconds())})")
    for model in found.models:
        size, kinds = f"{model['native_size']} px", " and ".join(KINDS.get(kind, kind) for kind in model["kinds"])
        miniature = ", which knows no photos" if model["miniature"] else ""
        workers = "1 worker" if model["workers"] == 1 else f"{model['workers']} workers"
        lines.append(f"base model  {model['name']} ({model['family']}, {size}{miniature}): {workers} for {kinds}")
    lines.append(f"jobs        {found.queued} queued, {found.running} running (of this project)")
    if found.folder and found.used_bytes is not None and found.free_bytes is not None:
        lines.append(f"data        {found.folder}: {_size(found.used_bytes)} used, {_size(found.free_bytes)} free")
    if found.programs:
        lines.append(
            f"programs    {sum(found.programs.values())} of {len(found.programs)} run: {', '.join(found.programs)}"
        )
    return [*lines, *(f"fault       {fault}" for fault in found.faults)]


def _folder_of(url: str | None, data: Path | None) -> Path | None:
    """The data folder of the service, if it belongs to a `lipe up` of this machine that the command has found."""
    if data is not None:
        return data
    return DEFAULT_DATA if url is None and (DEFAULT_DATA / NAME).exists() else None


def _servers(url: str) -> dict[str, bool]:
    """The servers that the API needs, and whether they answer."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=30).json()
        return {name: bool(answer[name]) for name in ("database", "broker", "storage")}
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"another program than LIPE answers at {url}: name LIPE with --url or --data") from error


def _model(model: ServedModel) -> dict[str, Any]:
    return model.model_dump(mode="json", include={"name", "family", "native_size", "miniature", "kinds", "workers"})


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
