"""`lipe workers`: the worker processes of a running service, for its operator."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from cli.service import ApiKey, Url, connect
from cli.settings_file import Data
from cli.whole_table import print_whole
from lipe_client import Worker

SHOWN_DIGITS = 12


def workers(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list, for scripts.")] = False,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """List the workers: machine, GPU, version, base model, priors in memory, state. Needs a key of scope operator."""
    console = Console(stderr=True)
    with connect(url, api_key, console, data) as lipe:
        found = lipe.workers()
    if as_json:
        print(json.dumps([worker.model_dump(mode="json") for worker in found], indent=2))
        return
    if not found:
        console.print("there is no worker: `lipe worker` starts one", highlight=False)
        return
    name = Column("worker", no_wrap=True)
    table = Table(name, "state", "kinds", "GPU", "version", "base model", "priors", "seen", box=None, pad_edge=False)
    present = datetime.now(UTC)
    for worker in found:
        table.add_row(*map(Text, _row(worker, present)))
    print_whole(table)


def _row(worker: Worker, present: datetime) -> tuple[str, ...]:
    gpu = worker.gpu or "CPU"
    if worker.gpu_memory_bytes:
        gpu += f" ({worker.gpu_memory_bytes / 2**30:.0f} GiB)"
    model = f"{worker.base_model or '?'} {(worker.fingerprint or '')[:SHOWN_DIGITS]}".strip()
    seconds = max(0.0, (present - worker.seen_at).total_seconds())
    kinds, held = ", ".join(worker.kinds), str(len(worker.adapters))
    return worker.name, worker.state, kinds, gpu, worker.version or "?", model, held, f"{seconds:.0f} s ago"
